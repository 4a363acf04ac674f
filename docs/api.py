"""Print the public names with signature and first line, for docs/api.md."""

import inspect

import groupsigma

for name in sorted(groupsigma.__all__, key=str.lower):
    value = getattr(groupsigma, name)
    if inspect.isfunction(value):
        names = ", ".join(
            p.name if p.default is p.empty else f"{p.name}=GRPO" if p.name == "dial" else f"{p.name}={p.default!r}"
            for p in inspect.signature(value).parameters.values()
        )
        print(f"{name}({names})\n    {inspect.getdoc(value).splitlines()[0]}")
    elif inspect.isclass(value):
        print(f"class {name}\n    {inspect.getdoc(value).splitlines()[0]}")
    else:
        print(f"{name}\n    {value!r}" if isinstance(value, groupsigma.Dial) else f"{name}\n    {len(value)} names")
