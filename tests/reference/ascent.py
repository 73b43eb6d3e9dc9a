"""The slow obvious twin of `sharpness.perturbations`: plain Python numbers, one weight at a time."""

import math


def scale(method, weights, p=math.inf, eta=0.0):
    """T of one tensor, given as a flat list."""
    if method == "sam":
        return [1.0 for _ in weights]
    if method == "asam":
        return [abs(w) + eta for w in weights]
    norm = max(abs(w) for w in weights) if p == math.inf else sum(abs(w) ** p for w in weights) ** (1 / p)
    return [(abs(w) + eta) / norm if norm > 0 else 0.0 for w in weights]


def ascent(parts):
    """eps of every tensor; parts: (flat weights, flat gradient, rho, flat T) of each, one norm over all of them."""
    norm = math.sqrt(sum((t * g) ** 2 for _, grads, _, ts in parts for t, g in zip(ts, grads, strict=True)))
    return [
        [rho * t * t * g / norm if norm > 0 else 0.0 for t, g in zip(ts, grads, strict=True)]
        for _, grads, rho, ts in parts
    ]


def reference_rule(named, rho, p, eta):
    """eps by name under the rule of the co-author's code: T for names with 'weight' in them, 1 for the rest."""
    methods = {name: "samson" if "weight" in name else "sam" for name in named}
    parts = [(w, g, rho, scale(methods[name], w, p, eta)) for name, (w, g) in named.items()]
    return dict(zip(named, ascent(parts), strict=True))
