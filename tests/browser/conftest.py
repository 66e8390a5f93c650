"""Debian's Chromium over the DevTools protocol, through two pipes: no driver, no port, no library."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--disable-default-apps", "--mute-audio", "--remote-debugging-pipe",
)  # fmt: skip
AXE = Path(__file__).parent / "axe-core" / "axe.min.js"


class Chromium:
    """A running browser: commands out through one pipe, answers and events back through another."""

    def __init__(self, program: str, folder: Path) -> None:
        out_read, self._out = os.pipe()
        self._in, in_write = os.pipe()
        root = ("--no-sandbox",) if os.geteuid() == 0 else ()
        # The browser reads commands from descriptor 3 and answers on 4; the pipes may lie there themselves.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (out_read, in_write)]
        silence = os.open(os.devnull, os.O_RDWR)
        self._process = os.posix_spawn(
            program, [program, *FLAGS, *root, f"--user-data-dir={folder}"], os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, here, there) for here, there in zip([silence] * 3 + high, range(5), strict=True)],
        )  # fmt: skip
        for end in (out_read, in_write, silence, *high):
            os.close(end)
        self._waiting = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Ask, and wait for the answer; events on the way are kept."""
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            self.events.append(told)

    def wait(self, method: str, session: str) -> None:
        """Go on once the event has come."""
        while not any(event.get("method") == method and event.get("sessionId") == session for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has ended"
            self._waiting += read
        message, _, self._waiting = self._waiting.partition(b"\0")
        return dict(json.loads(message))

    def close(self) -> None:
        """End the browser."""
        self.send("Browser.close")
        os.waitpid(self._process, 0)
        os.close(self._in)
        os.close(self._out)


class Tab:
    """One page: what it asks for, what it says, and a reader's keys."""

    def __init__(self, browser: Chromium, width: int, scripts: bool, dark: bool, media: str) -> None:
        self.browser = browser
        browser.events.clear()
        self._target = browser.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this page."""
        return self.browser.send(method, self.session, **parameters)

    def open(self, path: Path) -> None:
        """Load a file and wait until everything of it has come."""
        self.send("Page.navigate", url=path.as_uri())
        self.browser.wait("Page.loadEventFired", self.session)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        told = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key, as a keyboard sends it."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key], "modifiers": 8 if shift else 0}
        typed = {"text": "\r"} if key == "Enter" else {"text": " "} if key == " " else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **common, **typed)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def choose(self, label: str, value: str) -> None:
        """Set the control with this label, as a reader would."""
        self.js(f"""(() => {{
            const wanted = [...document.querySelectorAll(".controls label")].find(l => l.firstChild.data === {json.dumps(label)});
            const control = wanted.querySelector("select, input");
            control.value = {json.dumps(value)};
            control.dispatchEvent(new Event(control.tagName === "SELECT" ? "change" : "input"));
        }})()""")

    def asked_for(self) -> list[str]:
        """Every address that the page asked for, the page itself included."""
        self.js("new Promise(done => setTimeout(done, 50))")
        return [e["params"]["request"]["url"] for e in self._events("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """What the console says: exceptions, and what the policy refused."""
        thrown = [str(e["params"]["exceptionDetails"]) for e in self._events("Runtime.exceptionThrown")]
        return thrown + [e["params"]["entry"]["text"] for e in self._events("Log.entryAdded")]

    def violations(self, context: str = "document") -> list[str]:
        """What axe-core finds serious or critical in the page or parts of it, with the first element of each."""
        self.js(AXE.read_text(encoding="utf-8"))
        found = self.js(f"axe.run({context}, {{resultTypes: ['violations'], elementRef: false}}).then(r => r.violations)")
        grave = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        return [f"{rule['id']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:160]}" for rule in grave]

    def close(self) -> None:
        """Close the page."""
        self.browser.send("Target.closeTarget", targetId=self._target)

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [e for e in self.browser.events if e.get("method") == method and e.get("sessionId") == self.session]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser of this machine; tests are skipped where there is none."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on this machine (apt-get install chromium)")
    browser = Chromium(program, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[Callable[..., Tab]]:
    """Opens a file: `tab(path, width=1200, scripts=True, dark=False, media="screen")`."""
    opened: list[Tab] = []

    def open_tab(path: Path, width: int = 1200, scripts: bool = True, dark: bool = False, media: str = "screen") -> Tab:
        opened.append(Tab(chromium, width, scripts, dark, media))
        opened[-1].open(path)
        return opened[-1]

    yield open_tab
    for found in opened:
        found.close()
