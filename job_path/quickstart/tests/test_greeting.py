"""Tests of the service, run on each peon against the service there."""

# ruff: noqa: PT009, PT027, PTH123 - unittest is all that a peon has, and its assertions are its own

import concurrent.futures
import json
import os
import unittest
import urllib.error
import urllib.request

URL = os.environ["GREETING_URL"]
NAME = os.environ["GREETING_NAME"]


def got(path):
    with urllib.request.urlopen(URL + path, timeout=30) as answer:
        return json.load(answer)


class Greeting(unittest.TestCase):
    def test_it_greets_in_the_name_of_this_peon(self):
        self.assertEqual(got("/"), {"greeting": f"Good day from {NAME}"})

    def test_it_is_well(self):
        self.assertTrue(got("/health")["well"])

    def test_it_runs_in_the_background_of_this_peon(self):
        with open(f"/proc/{got('/health')['pid']}/cmdline", encoding="utf-8") as file:
            self.assertIn("serve", file.read().split("\0"))

    def test_it_counts_every_greeting_of_many_at_once(self):
        before = got("/count")["greeted"]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(got, ["/"] * 40))
        self.assertEqual(got("/count")["greeted"], before + 40)

    def test_it_knows_what_it_does_not_have(self):
        with self.assertRaises(urllib.error.HTTPError) as raised:
            got("/nothing")
        self.assertEqual(raised.exception.code, 404)
        raised.exception.close()
