"""Figures and ratios: kept, printed as one table, written as JSON."""
import json


class Figures:
    def __init__(self):
        self.rows = []  # (part, what, value, unit)
        self.ratios = []  # (what, value, unit, target, held)
        self.notes = []

    def add(self, part, what, value, unit):
        self.rows.append((part, what, value, unit))
        print("  %-9s %-70s %9s %s" % (part, what, shown(value), unit), flush=True)

    def ratio(self, what, value, unit, target):
        """A value held against DESIGN.md's section 10: "<= 1.25", ">= 0.7"."""
        relation, bound = target.split()
        held = value <= float(bound) if relation == "<=" else value >= float(bound)
        self.ratios.append((what, value, unit, target, held))

    def note(self, text):
        if text and text not in self.notes:
            self.notes.append(text)

    def load(self, what, summary):
        """The load generator must not be what is measured."""
        if summary["warning"]:
            self.note("%s: %s (%.2f of a core, %.2f in its busiest second)" % (
                what, summary["warning"], summary["cpu"]["all"], summary["cpu"]["peak"]))

    def table(self):
        if self.ratios:
            print("\n%-72s %9s %-12s %-8s" % ("held against the design, section 10", "measured", "target", ""))
        for what, value, unit, target, held in self.ratios:
            print("%-72s %9s %-12s %s" % (what, shown(value), (target + " " + unit).strip(), "held" if held else "MISSED"))
        for text in self.notes:
            print("note: " + text)

    def write(self, path):
        path.write_text(json.dumps({
            "figures": [dict(zip(("part", "what", "value", "unit"), row)) for row in self.rows],
            "ratios": [dict(zip(("what", "value", "unit", "target", "held"), row)) for row in self.ratios],
            "notes": self.notes}, indent=1) + "\n")


def shown(value):
    if isinstance(value, int):
        return "%d" % value
    return "%.3f" % value if abs(value) < 10 else "%.1f" % value
