"""Writing models as Python scripts, with their weights beside them."""

from kir.exporters.script.write import ScriptReport, export_script

__all__ = ["ScriptReport", "export_script"]
