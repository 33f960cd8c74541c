"""PySide6 classes that behave like PythonQt's: properties are attributes, wrong types raise, signals go by name."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import shiboken6
from PySide6 import QtCore, QtWidgets

_WRAPPED: dict[type, type] = {}
# Connections live here and not in the objects: a closure in an object that refers to it would keep a QTimer alive.
_CONNECTIONS: dict[int, list[tuple[str, Any, Any]]] = {}


def toPython(value: Any) -> Any:
    """Lists come back as tuples."""
    return tuple(value) if isinstance(value, list) else value


def toQt(value: Any) -> Any:
    """A value as PythonQt takes it: numpy scalars are refused, None becomes text in a text property."""
    if isinstance(value, np.generic):
        raise ValueError(f"Called with wrong arguments: {type(value).__name__} {value!r}")
    return value


def _alive(instance: Any) -> None:
    if not shiboken6.isValid(instance):
        raise ValueError(f"Trying to access a destroyed {type(instance).__name__}")


def _acceptedArguments(slot: Callable[..., Any]) -> int:
    """How many positional arguments a slot takes."""
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return 0
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 99
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _adapted(slot: Callable[..., Any], most: int, convert: Callable[[Any], Any] = toPython) -> Callable[..., None]:
    """A function of exactly the arguments it passes on, from which PySide6 chooses among a signal's overloads."""
    count = min(_acceptedArguments(slot), most)

    def call(*values: Any) -> None:
        try:
            slot(*[convert(v) for v in values])
        except Exception:
            SLOT_ERRORS.append(traceback.format_exc())
            traceback.print_exc()

    return (lambda: call(), lambda a: call(a), lambda a, b: call(a, b), lambda a, b, c: call(a, b, c))[count]


# Exceptions in slots are printed and not raised; in testing mode they make Slicer exit with status 1. Tests look here.
SLOT_ERRORS: list[str] = []


class BoundSignal:
    """What `widget.clicked` gives: connect, disconnect, emit; no overloads by index."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self._name = owner, name

    def connect(self, slot: Callable[..., Any]) -> bool:
        meta = self._owner.metaObject()
        methods = [meta.method(n) for n in range(meta.methodCount())]
        most = max(m.parameterCount() for m in methods if bytes(m.name().data()).decode() == self._name)
        _connect(self._owner, self._name, slot, most)
        return True

    def disconnect(self, slot: Callable[..., Any]) -> bool:
        return _disconnect(self._owner, self._name, slot)

    def emit(self, *values: Any) -> None:
        _rawSignal(self._owner, self._name).emit(*values)


def _rawSignal(owner: Any, name: str) -> Any:
    return type(owner)._rawSignals[name].__get__(owner, type(owner))


def _connect(owner: Any, name: str, slot: Callable[..., Any], most: int, convert: Any = toPython) -> None:
    _alive(owner)
    adapted = _adapted(slot, most, convert)
    key = shiboken6.getCppPointer(owner)[0]
    if key not in _CONNECTIONS:
        _CONNECTIONS[key] = []
        QtCore.QObject.destroyed.__get__(owner, type(owner)).connect(lambda *_: _CONNECTIONS.pop(key, None))
    _CONNECTIONS[key].append((name, slot, adapted))
    _rawSignal(owner, name).connect(adapted)


def _disconnect(owner: Any, name: str, slot: Callable[..., Any]) -> bool:
    _alive(owner)
    made = _CONNECTIONS.get(shiboken6.getCppPointer(owner)[0], [])
    for connection in [c for c in made if c[0] == name and c[1] == slot]:
        _rawSignal(owner, name).disconnect(connection[2])
        made.remove(connection)
        return True
    return False


def _signalOf(owner: Any, signature: str) -> tuple[str, int] | None:
    """A signal's name and number of arguments; None where the class has no signal of that exact signature."""
    text = re.sub(r"\s+", "", signature)
    name, _, arguments = text.partition("(")
    count = len([a for a in arguments.rstrip(")").split(",") if a])
    if text in getattr(type(owner), "SIGNATURES", ()):
        return name, count
    known = bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()
    return (name, count) if owner.metaObject().indexOfSignal(known) >= 0 else None


class PythonQtObject:
    """Mixed into every wrapped class."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        if keywords:
            raise TypeError(f"{type(self).__name__}() takes no keyword arguments")
        super().__init__(*[toQt(a) for a in arguments])

    def __getattribute__(self, name: str) -> Any:
        if name in type(self)._rawSignals:
            return BoundSignal(self, name)
        return super().__getattribute__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        _alive(self)
        exact = type(self) in _WRAPPED.values()
        known = getattr(type(self), name, None)
        if isinstance(known, QtCore.Property):
            super().__setattr__(name, _forProperty(self, name, value))
        elif isinstance(known, property) or not exact:
            super().__setattr__(name, value)
        elif bytes(name, "utf-8") in [bytes(p.data()) for p in self.dynamicPropertyNames()]:
            self.setProperty(name, toQt(value))
        else:
            raise AttributeError(f"Attribute {name!r} does not exist on {type(self).__name__}")

    def connect(self, signature: str, slot: Callable[..., Any]) -> bool:
        """PythonQt's connect: False, and no exception, where the signature is not right."""
        found = _signalOf(self, signature)
        if found is None:
            return False
        convert = getattr(type(self), "CONVERTED", {}).get(signature, toPython)
        _connect(self, found[0], slot, found[1], convert)
        return True

    def disconnect(self, signature: str, slot: Callable[..., Any]) -> bool:
        found = _signalOf(self, signature)
        return found is not None and _disconnect(self, found[0], slot)

    def className(self) -> str:
        return type(self).__name__

    def children(self) -> tuple:
        return tuple(QtCore.QObject.children(self))

    def findChildren(self, kind: Any, name: str = "") -> tuple:
        base = next((b for b, w in _WRAPPED.items() if w is kind), kind)
        return tuple(QtCore.QObject.findChildren(self, base, name) if name else QtCore.QObject.findChildren(self, base))


_ACCEPTED = {"QString": str, "int": (int, float), "uint": (int, float), "bool": (int, float), "double": (int, float)}


def _forProperty(owner: Any, name: str, value: Any) -> Any:
    """A value as a property of its type takes it; AttributeError where PythonQt raises that."""
    kind = owner.metaObject().property(owner.metaObject().indexOfProperty(name)).typeName()
    if kind == "QString" and value is None:
        value = "None"
    isEnum = kind == "int" and hasattr(value, "value") and not isinstance(value, np.generic)
    if isinstance(value, np.generic) or not (isEnum or isinstance(value, _ACCEPTED.get(kind, object))):
        raise AttributeError(f"Property {name!r} of {type(owner).__name__} cannot be set to {value!r}")
    if kind in ("int", "uint") and isinstance(value, float):
        return int(value)
    if kind == "bool":
        return bool(value)
    return list(value) if isinstance(value, tuple) else value


def _makeProperty(base: type, meta: QtCore.QMetaProperty) -> property:
    name = meta.name()
    getter = _method(base, name)
    setter = _method(base, f"set{name[0].upper()}{name[1:]}")

    def get(self: Any) -> Any:
        _alive(self)
        return toPython(getter(self) if callable(getter) else self.property(name))

    def put(self: Any, value: Any) -> None:
        value = _forProperty(self, name, value)
        if not meta.isWritable():
            raise AttributeError(f"Property {name!r} of {type(self).__name__} is read-only")
        try:
            if callable(setter):
                setter(self, value)
            elif not self.setProperty(name, value):
                raise TypeError(name)
        except TypeError as error:
            raise AttributeError(f"Property {name!r} of {type(self).__name__} cannot be set to {value!r}") from error

    return property(get, put)


def _method(base: type, name: str) -> Callable[..., Any] | None:
    """A method as a function that takes the object first; None if there is none, or only a static one."""
    found = getattr(base, name, None)
    return found if inspect.ismethoddescriptor(found) or inspect.isfunction(found) else None


def _strictSetter(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *values: Any) -> Any:
        _alive(self)
        return original(self, *[toQt(v) for v in values])

    return call


# Property getters that Qt calls as virtual functions stay methods.
_VIRTUAL = {"sizeHint", "minimumSizeHint"}


def wrapped(base: type) -> type:
    """The PythonQt-like class for a PySide6 class."""
    if base in _WRAPPED:
        return _WRAPPED[base]
    meta = base.staticMetaObject
    members: dict[str, Any] = {"_rawSignals": {}}
    for index in range(meta.propertyCount()):
        info = meta.property(index)
        if info.name() in _VIRTUAL:
            continue
        # A property written in Python is found by its name in the class, also by the loader of .ui files: it stays.
        if not isinstance(getattr(base, info.name(), None), QtCore.Property):
            members[info.name()] = _makeProperty(base, info)
        setter = f"set{info.name()[0].upper()}{info.name()[1:]}"
        if _method(base, setter) is not None:
            members[setter] = _strictSetter(_method(base, setter))
    members["name"] = members["objectName"]
    # PySide6 looks for these two in the class itself, not in its bases.
    members["connect"], members["disconnect"] = PythonQtObject.connect, PythonQtObject.disconnect
    for index in range(meta.methodCount()):
        method = meta.method(index)
        name = bytes(method.name().data()).decode()
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal and hasattr(base, name):
            members["_rawSignals"][name] = getattr(base, name)
    result = type(base)(base.__name__.lstrip("_"), (PythonQtObject, base), members)
    _WRAPPED[base] = result
    return result


def widgetClass(name: str) -> type | None:
    """The wrapped class of one of Qt's own widgets, by its name in a .ui file."""
    base = getattr(QtWidgets, name, None)
    return wrapped(base) if isinstance(base, type) and issubclass(base, QtWidgets.QWidget) else None
