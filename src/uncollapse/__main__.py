"""``python -m uncollapse`` is the same as the ``uncollapse`` command."""

from uncollapse.cli import main

if __name__ == "__main__":
    main()
