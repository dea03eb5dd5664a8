"""What an answer holds beside its client's model: keys that the model does not know, and keys that by the model the
service always writes (read-only or required) and that the answer lacks."""

import re


def fields_of(model):
    """Of a model class: (key on the wire, class of what is below or None, whether the service has to write it)."""
    if hasattr(model, "_attribute_map"):
        yield from _old_fields(model)
        return
    annotations = {}
    for parent in reversed(model.__mro__):
        annotations.update(getattr(parent, "__annotations__", {}))
    for name, field in model()._attr_to_rest_field.items():
        annotation = str(annotations.get(name, ""))
        found = re.search(r"_models\.(\w+)", annotation)
        below = _class(model, found.group(1)) if found else None
        own = field._visibility == ["read"] or "Optional" not in annotation
        yield field._rest_name, below, own


def _old_fields(model):
    validation = getattr(model, "_validation", {})
    for name, entry in model._attribute_map.items():
        path = [part.replace("\\", "") for part in re.split(r"(?<!\\)\.", entry["key"])]
        found = re.match(r"[\[{]*(\w+)", entry["type"])
        below = _class(model, found.group(1)) if found else None
        rules = validation.get(name, {})
        yield ".".join(path), below, bool(rules.get("readonly") or rules.get("required"))


def _class(model, name):
    import importlib

    package = importlib.import_module(model.__module__.rsplit(".", 1)[0])
    found = getattr(package, name, None)
    return found if isinstance(found, type) and not issubclass(found, (str, int)) else None


def differences(model, answer):
    """Sorted lines such as `Subnet.unknown foo` and `Subnet.missing bar`."""
    found = set()
    _compare(model, answer, found)
    return sorted(found)


def _compare(model, answer, found):
    if isinstance(answer, list):
        for item in answer:
            _compare(model, item, found)
        return
    if not isinstance(answer, dict):
        return
    fields = {key: (below, own) for key, below, own in fields_of(model)}
    flattened = {key.split(".")[0] for key in fields if "." in key}
    for key, value in answer.items():
        if key in flattened and isinstance(value, dict):
            for inner, inner_value in value.items():
                _field(model, f"{key}.{inner}", inner_value, fields, found)
        else:
            _field(model, key, value, fields, found)
    for key, (_, own) in fields.items():
        holder = answer.get(key.split(".")[0]) if "." in key else answer
        if own and isinstance(holder, dict) and key.split(".")[-1] not in holder:
            found.add(f"{model.__name__}.missing {key}")


def _field(model, key, value, fields, found):
    if key not in fields:
        if not any(known.startswith(key + ".") for known in fields):
            found.add(f"{model.__name__}.unknown {key}")
        return
    below = fields[key][0]
    if below is not None and value is not None:
        if isinstance(value, dict) and not _is_model(below, value):
            for inner in value.values():
                _compare(below, inner, found)
        else:
            _compare(below, value, found)


def _is_model(model, value):
    """Whether a value is one of the model, and not a map of them by name."""
    keys = {key.split(".")[0] for key, _, _ in fields_of(model)}
    return not value or bool(keys & set(value)) or not all(isinstance(v, dict) for v in value.values())
