"""The whole state in, the facts and questions that are due out."""

from holdfast_controller.logic.reconcile.passes import reconcile
from holdfast_controller.logic.reconcile.questions import Question, questions
from holdfast_controller.logic.reconcile.view import View

__all__ = ["Question", "View", "questions", "reconcile"]
