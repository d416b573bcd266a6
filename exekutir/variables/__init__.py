"""The variables of a job: what is known of them, how they are completed and merged, and where each comes from."""

from exekutir.variables.command_line import parse_extra
from exekutir.variables.completion import completed, kommandir_variables

__all__ = ["completed", "kommandir_variables", "parse_extra"]
