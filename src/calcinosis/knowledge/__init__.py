"""The knowledge base: clinical content as data, its model, its loader and its check."""

from calcinosis.knowledge.loader import Knowledge, KnowledgeError, load_knowledge

__all__ = ["Knowledge", "KnowledgeError", "load_knowledge"]
