"""A headless Chromium that tests drive as a person would: real mouse and key events, through its own debugging pipe.

No package is needed: Chromium reads JSON messages from file descriptor 3 and answers on 4, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Enter": 13, "Home": 36, "End": 35}


def find_chromium() -> str | None:
    """The browser of this machine, None without one."""
    named = os.environ.get("UNCOLLAPSE_CHROMIUM")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page."""

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="uncollapse-chromium-", ignore_cleanup_errors=True)
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        options = [
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._folder.name}",
            "--no-first-run",
        ]
        options += ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-extensions", "--hide-scrollbars", "--mute-audio"]
        line = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", line, program, *options, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = ours_out, ours_in
        self._number = 0
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._session = ""
        pages = [it for it in self._call("Target.getTargets")["targetInfos"] if it["type"] == "page"]
        self._session = self._call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        # Without a window nobody can give the page the focus, and events of focus would come late or never.
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)

    def _listen(self) -> None:
        rest = b""
        while part := os.read(self._in, 65_536):
            *whole, rest = (rest + part).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers[message["id"]].put(message)
                else:
                    self.events.append(message)
        for answer in self._answers.values():
            answer.put({"error": {"message": "the browser has ended"}})

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        self._answers[number] = queue.Queue()
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._answers[number].get(timeout=120)
        del self._answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    # What a person does ---------------------------------------------------------------------------------------------

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Sets the window's size in CSS pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def dark(self, on: bool, *, still: bool = False) -> None:
        """Asks for dark pages, or for light ones; `still`: without motion, so that no picture catches one half way."""
        looks = {"prefers-color-scheme": "dark" if on else "light"}
        if still:
            looks["prefers-reduced-motion"] = "reduce"
        features = [{"name": name, "value": value} for name, value in looks.items()]
        self._call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        """Goes to an address and waits until the page has loaded."""
        before = len(self.events)
        self._call("Page.navigate", url=url)
        self._wait_for(
            lambda: any(it["method"] == "Page.loadEventFired" for it in self.events[before:]), f"{url} to load"
        )

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 120) -> Any:
        """Waits until an expression is true; returns its value."""
        found: list[Any] = []

        def holds() -> bool:
            found[:] = [self.ask(expression)]
            return bool(found[0])

        self._wait_for(holds, expression, seconds)
        return found[0]

    def _wait_for(self, condition: Any, what: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s in vain for {what}")
            time.sleep(0.03)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element is after scrolling it into view: left, top, width, height."""
        place = "it.scrollIntoView({block: 'center'}); const b = it.getBoundingClientRect()"
        code = f"((it) => {{ {place}; return [b.left, b.top, b.width, b.height]; }})"
        code += f"(document.querySelector({json.dumps(selector)}))"
        left, top, width, height = self.ask(code)
        return left, top, width, height

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Presses and releases the mouse on an element, at a place given in shares of its size."""
        left, top, width, height = self.box(selector)
        place = {"x": left + x * width, "y": top + y * height}
        self._call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def hover(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Moves the mouse over an element."""
        left, top, width, height = self.box(selector)
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=left + x * width, y=top + y * height)

    def press(self, key: str, times: int = 1) -> None:
        """Presses a key."""
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
                self._call(
                    "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key], **text
                )

    def write(self, text: str) -> None:
        """Types a text."""
        self._call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Saves what the page looks like as a PNG."""
        options: dict[str, Any] = {"captureBeyondViewport": whole}
        if whole:
            size = self._call("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png", **options)["data"]))

    def complaints(self) -> list[str]:
        """Errors of the page so far: exceptions, refused scripts, failed requests."""
        found = []
        for event in self.events:
            content = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(content["exceptionDetails"].get("exception", content["exceptionDetails"])))
            if event["method"] == "Log.entryAdded" and content["entry"]["level"] == "error":
                found.append(f"{content['entry']['text']} {content['entry'].get('url', '')}")
        return found

    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        return [it["params"]["request"]["url"] for it in self.events if it["method"] == "Network.requestWillBeSent"]

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = ""
        try:
            self._call("Browser.close")
            self._process.wait(timeout=5)
        except (RuntimeError, queue.Empty, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        self._listener.join(timeout=5)
        if not self._listener.is_alive():
            os.close(self._in)
        self._folder.cleanup()
