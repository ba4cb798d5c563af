"""Corporate actions: splits and dividends, whose word they are, and the prices seen through them.

agreement  what vendors tell, held against what is known: new, agreed, better known, or in conflict
views      as-traded bars seen with actions taken out: forward-anchored for strategies, back-adjusted for charts
"""

from quaestor.actions.agreement import Action, Agreement, Conflict, Told, reconcile
from quaestor.actions.views import back_adjusted, total_return

__all__ = ["Action", "Agreement", "Conflict", "Told", "back_adjusted", "reconcile", "total_return"]
