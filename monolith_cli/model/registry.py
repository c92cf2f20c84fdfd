"""The registry of model classes by name, for tools that are given a name in place of FILE.py:CLASS.

@register_single_task_model
class Movies(SingleTaskModelParams):
    def task(self):
        p = MyTask.params()
        ...
        return p
"""

from __future__ import annotations

import importlib
import logging

log = logging.getLogger("monolith.registry")


class SingleTaskModelParams:
    """Base of what can be registered: `task()` returns the Params of the task."""

    def task(self):
        raise NotImplementedError(f"{type(self).__name__} has no task(): define it, it returns the Params of the task")


class Registry:
    """Classes by `<module>.<Class>`, and by a shorter name without `monolith.tasks.` and `params.` in the module."""

    def __init__(self):
        self._classes: dict[str, type] = {}

    @staticmethod
    def keys(cls: type) -> list[str]:
        """The names that a class is known by, the full one first."""
        full = f"{cls.__module__}.{cls.__name__}"
        short = cls.__module__.replace("monolith.tasks.", "").replace("params.", "")
        return list(dict.fromkeys([full, f"{short}.{cls.__name__}"]))

    def register(self, cls: type) -> type:
        """Class decorator. TypeError for a class that is no SingleTaskModelParams, ValueError for a name that is
        taken."""
        if not (isinstance(cls, type) and issubclass(cls, SingleTaskModelParams)):
            raise TypeError(f"{cls!r} does not derive from SingleTaskModelParams")
        keys = self.keys(cls)
        for key in keys:
            if key in self._classes:
                raise ValueError(f"a model is already registered as {key!r}")
        self._classes |= dict.fromkeys(keys, cls)
        return cls

    def get_class(self, name: str) -> type:
        """The class of a name; LookupError where there is none, after what is known was logged."""
        if name not in self._classes:
            for key in sorted(self._classes):
                log.info("known model: %s", key)
            raise LookupError(
                f"no model is registered as {name!r}; known: {', '.join(sorted(self._classes)) or 'none'}"
            )
        return self._classes[name]

    def get_params(self, name: str):
        """`Class().task()` of a name, importing the module that its dotted part names if it is not registered yet.

        ValueError for a name without a dot; LookupError where no module could be imported, or none registered the name.
        """
        if "." not in name:
            raise ValueError(f"{name!r} must be MODULE.CLASS")
        if name not in self._classes:
            self._import(name.rpartition(".")[0])
        return self.get_class(name)().task()

    @staticmethod
    def _import(path: str) -> None:
        parent, _, last = path.rpartition(".")
        candidates = [path, f"monolith.tasks.{path}"]
        candidates += [f"{prefix}{parent}.params.{last}" for prefix in ("", "monolith.tasks.")] if parent else []
        imported = 0
        for module in candidates:
            try:
                importlib.import_module(module)
                imported += 1
            except ModuleNotFoundError as e:
                # A module that is there and misses another one is a mistake to be told, not a candidate to pass over.
                if e.name is None or not (module == e.name or module.startswith(e.name + ".")):
                    raise
                log.info("no module %s", module)
        if not imported:
            raise LookupError(f"none of the modules {', '.join(candidates)} can be imported")


_registry = Registry()
register_single_task_model = _registry.register
get_class = _registry.get_class
get_params = _registry.get_params
