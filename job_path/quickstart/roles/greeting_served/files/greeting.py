#!/usr/bin/python3
"""A small HTTP service: GET / greets, GET /health says whether it is well, GET /count how often it greeted.

usage: greeting start|stop|serve --port=PORT [--name=NAME]     `start` returns when the service answers
"""

# ruff: noqa: PTH108, PTH123 - as few imports as possible: the service starts on small hosts

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PID_FILE = "/run/greeting.pid"
LOG_FILE = "/var/log/greeting.log"
PATIENCE = 60


class Server(ThreadingHTTPServer):
    """Lets many ask at once."""

    request_queue_size = 128


class Greeter(BaseHTTPRequestHandler):
    """Answers requests."""

    name = ""
    greeted = 0
    lock = threading.Lock()

    def do_GET(self):
        if self.path == "/":
            with self.lock:
                Greeter.greeted += 1
            self.answer(200, {"greeting": f"Good day from {self.name}"})
        elif self.path == "/health":
            self.answer(200, {"well": True, "pid": os.getpid()})
        elif self.path == "/count":
            self.answer(200, {"greeted": Greeter.greeted})
        else:
            self.answer(404, {"error": f"there is no {self.path}"})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port, name):
    """Serve until killed."""
    Greeter.name = name
    with Server(("127.0.0.1", port), Greeter) as server:
        server.serve_forever()


def well(port):
    """Whether the service answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def start(port, name):
    """Start the service in the background, in a session of its own, and wait until it answers."""
    if well(port):
        print("it runs already")
        return
    with open(LOG_FILE, "ab") as log:
        child = subprocess.Popen(
            [sys.executable, __file__, "serve", f"--port={port}", f"--name={name}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    with open(PID_FILE, "w", encoding="ascii") as file:
        file.write(f"{child.pid}\n")
    deadline = time.monotonic() + PATIENCE
    while not well(port):
        if child.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"the service does not answer on port {port}; see {LOG_FILE}")
        time.sleep(0.05)
    print(f"started, process {child.pid}")


def stop():
    """Stop the service."""
    with open(PID_FILE, encoding="ascii") as file:
        os.kill(int(file.read()), signal.SIGTERM)
    os.unlink(PID_FILE)


def main():
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["start", "stop", "serve"])
    parser.add_argument("--port", type=int, default=8480)
    parser.add_argument("--name", default="nobody")
    told = parser.parse_args()
    if told.action == "serve":
        serve(told.port, told.name)
    elif told.action == "start":
        start(told.port, told.name)
    else:
        stop()


if __name__ == "__main__":
    main()
