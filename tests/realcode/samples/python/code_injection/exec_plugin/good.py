import sys

HOOKS = {"upper": str.upper, "lower": str.lower}


def run_hook(name, text):
    hook = HOOKS.get(name)
    if hook is None:
        raise SystemExit(f"no hook {name!r}")
    return hook(text)


print(run_hook(sys.argv[1], sys.stdin.read()))
