"""Time conditions (manual table 9): when a moment described like a crontab entry comes next, in local time."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from narval_engine.recipes import Time

#: The limits of each field, as the manual has them.
LIMITS = {
    "seconds": (0, 59),
    "minutes": (0, 59),
    "hours": (0, 23),
    "monthdays": (1, 31),
    "months": (1, 12),
    "years": (-10000, 10000),
    "yeardays": (1, 366),
    "weekdays": (0, 6),
}
FIELDS = tuple(LIMITS)
#: The Gregorian calendar repeats, weekdays included, so a day that does not come in so many years never comes.
_CYCLE = 400
_PART = re.compile(r"\s*(-?[0-9]{1,6})\s*(?:-\s*(-?[0-9]{1,6})\s*)?")


_DAY = 86400


def _midnight(ordinal: int) -> float:
    try:
        day = date.fromordinal(ordinal)
    except ValueError:
        # The day after the last one.
        return _midnight(ordinal - 1) + _DAY
    return time.mktime((day.year, day.month, day.day, 0, 0, 0, 0, 0, -1))


class TimeError(ValueError):
    """A field of a time condition is not as table 9 wants it; the message says what is allowed."""


def numbers(name: str, text: str | int) -> frozenset[int] | None:
    """The numbers that a field names, ``None`` for all. Raises TimeError."""
    if text == "*":
        return None
    low, high = LIMITS[name]
    allowed = f"{name} takes '*', or numbers from {low} to {high} and ranges of them (a-b), separated by commas"
    found: set[int] = set()
    for part in str(text).split(","):
        if part.strip() == "*":
            return None
        matched = _PART.fullmatch(part)
        if matched is None:
            raise TimeError(f"{text!r} is not a time field; {allowed}")
        first = int(matched[1])
        last = first if matched[2] is None else int(matched[2])
        if not low <= first <= last <= high:
            raise TimeError(f"{part.strip()!r} is out of range; {allowed}")
        found.update(range(first, last + 1))
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All moments that satisfy every field of a time condition."""

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    monthdays: frozenset[int] | None
    years: frozenset[int] | None
    yeardays: frozenset[int] | None
    weekdays: frozenset[int] | None

    @classmethod
    def of(cls, said: Time) -> Schedule:
        """The schedule of a time condition. Raises TimeError."""
        fields = {name: numbers(name, getattr(said, name)) for name in FIELDS}

        def listed(name: str) -> tuple[int, ...]:
            low, high = LIMITS[name]
            chosen = fields[name]
            return tuple(range(low, high + 1)) if chosen is None else tuple(sorted(chosen))

        days = {name: fields[name] for name in ("monthdays", "years", "yeardays", "weekdays")}
        return cls(listed("seconds"), listed("minutes"), listed("hours"), listed("months"), **days)

    def next(self, now: float) -> float | None:
        """The first second at or after ``now`` (both seconds since the epoch) that satisfies it; ``None``: never again.

        The second that is running counts, so the answer can be up to a second before ``now``.
        """
        local = time.localtime(now)
        today = date(local.tm_year, local.tm_mon, local.tm_mday)
        clock = (local.tm_hour, local.tm_min, local.tm_sec)
        for day in self._days(today):
            begin, end = _midnight(day.toordinal()), _midnight(day.toordinal() + 1)
            if end - begin != _DAY:
                moment = self._of_odd_day(begin, end, now)
                if moment is not None:
                    return moment
                continue
            found = self._of_day(clock if day == today else (0, 0, 0))
            if found is not None:
                return time.mktime((day.year, day.month, day.day, *found, 0, 0, -1))
        return None

    def _of_odd_day(self, begin: float, end: float, now: float) -> float | None:
        """The same for a day on which clocks are changed: an hour of it never comes, or comes twice."""
        for minute in range(int(begin), int(end), 60):
            local = time.localtime(minute)
            if local.tm_hour in self.hours and local.tm_min in self.minutes:
                later = [second for second in self.seconds if minute + second >= int(now)]
                if later:
                    return float(minute + later[0])
        return None

    def _days(self, today: date) -> Iterator[date]:
        for year in range(today.year, min(today.year + _CYCLE, 9999) + 1):
            if self.years is not None and year not in self.years:
                continue
            for month in self.months:
                if year == today.year and month < today.month:
                    continue
                for day in self._days_of(year, month):
                    if day >= today:
                        yield day
        if self.years is not None:
            yield from self._far_days(today)

    def _far_days(self, today: date) -> Iterator[date]:
        """Days of years that are named but lie beyond a whole cycle of the calendar."""
        for year in sorted(self.years or ()):
            if today.year + _CYCLE < year <= date.max.year:
                for month in self.months:
                    yield from self._days_of(year, month)

    def _days_of(self, year: int, month: int) -> Iterator[date]:
        for number in range(1, 32) if self.monthdays is None else sorted(self.monthdays):
            try:
                day = date(year, month, number)
            except ValueError:
                continue
            if self.weekdays is not None and day.weekday() not in self.weekdays:
                continue
            if self.yeardays is not None and day.timetuple().tm_yday not in self.yeardays:
                continue
            yield day

    def _of_day(self, after: tuple[int, int, int]) -> tuple[int, int, int] | None:
        """The first time of day at or after this one."""
        hour, minute, second = after
        for at in self.hours:
            if at < hour:
                continue
            if at > hour:
                return at, self.minutes[0], self.seconds[0]
            for minutes in self.minutes:
                if minutes > minute:
                    return at, minutes, self.seconds[0]
                if minutes == minute:
                    later = [each for each in self.seconds if each >= second]
                    if later:
                        return at, minutes, later[0]
        return None
