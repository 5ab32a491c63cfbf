"""A live page over a run or comparison directory: reads what is there, changes nothing, and is served to one machine.

The directory is read once a second by one thread (`reading`), whoever looks on; the server (`server`, `app`,
`security`) shows what it knows. Training never waits for a viewer, and a finished or crashed directory looks the same.
"""
