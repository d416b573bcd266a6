"""Tests of the greeting, run on each peon."""

# ruff: noqa: PT009, PTH123 - unittest is all that a peon has, and its assertions are its own

import os
import time
import unittest


def greeting():
    with open("/etc/greeting", encoding="utf-8") as file:
        return file.read().rstrip("\n")


class Greeting(unittest.TestCase):
    def test_it_is_one_line(self):
        self.assertEqual(len(greeting().splitlines()), 1)

    def test_it_is_friendly(self):
        self.assertEqual(greeting(), os.environ["GREETING"])

    def test_it_stays(self):
        before = greeting()
        time.sleep(float(os.environ["SECONDS"]))
        self.assertEqual(greeting(), before)
