#!/usr/bin/env python3
"""Mixtures of experts as the routers' authors have them, in PyTorch and float64, for routers.lua.

    routers.py CASES      a case a line: name, folder, and words KEY=VALUE

A folder has tokens.npy, targets.npy (B,T) and, of each parameter, NAME.before.npy and NAME.after.npy:
what one step of gradient descent of rate 1 made of it.  Printed is, for each parameter, how far the
step is from the one here, as a share of the largest change: "name parameter off X".

switch    Mesh TensorFlow and flaxformer: softmax, argmax, gate = probability; places by an exclusive
          running count over the group; kept if the place is under the capacity; aux E sum f P.
          reroute=R (no token left behind, appendix B): those without a place ask their next best
          expert, R times, and have its probability as their gate
gshard    Lingvo: the two largest; gates over their sum first; places of the second choices begin at
          the number of kept first ones; aux of first choices
choice    Zhou et al. 2022: of each expert the largest of softmax over the group's tokens, of equal
          ones (the same id) the earlier
st_moe    flaxformer: the two largest, gates as they are; f sums to K, so aux is twice that of f / K
deepseek  DeepSeek-V3: sigmoid, groups by the sum of their two best score + bias, -inf elsewhere;
          gates over their sum times scale; bias += gamma * sign(mean - load), less its mean; the
          loss within each of `rows` sequences, which counts the largest s
quantile  Su, Megatron-LM: the largest of softmax - beta; beta of the next step the quantile over
          tokens of what is left of an expert's score above a token's (K+1)-th, less its mean
"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
AT = "model.layers.0.mlp."


def expert(p, e, x):
    w = {n: p[AT + "experts." + n + "_proj.weight"][e] for n in ("gate", "up", "down")}
    return (F.silu(x @ w["gate"].T) * (x @ w["up"].T)) @ w["down"].T


def combine(p, x, weights):
    """Sum over experts of weights (N,E) times what each makes of all tokens."""
    y = torch.zeros_like(x)
    for e in range(weights.shape[1]):
        y = y + weights[:, e:e + 1] * expert(p, e, x)
    return y


def places(mask, start=0):
    """Exclusive running count down a group's tokens: the place of each choice at its expert."""
    return (torch.cumsum(mask, -2) - mask + start) * mask


def slots(o, n):
    """factor * n / experts is rounded up, as by Megatron-LM; mesh cuts it, flaxformer rounds it."""
    return max(o.get("least", 1), math.ceil(o["factor"] * n / o["experts"] * (1 - 1e-12)))


def grouped(o, x):
    """(N,E) as (groups, n, E)."""
    return x.view(o.get("groups", 1), -1, x.shape[-1])


def balance(o, mask, prob):
    """E sum f P; even=1: of each group, and their mean."""
    if "even" in o:
        mask, prob = grouped(o, mask), grouped(o, prob)
    return o["aux"] * o["experts"] * (mask.mean(-2) * prob.mean(-2)).sum(-1).mean()


def rerouted(prob, capacity, rounds):
    """Which expert takes each token (N,E), by asking one after another."""
    order = torch.sort(prob, dim=-1, descending=True, stable=True).indices
    mask = torch.zeros_like(prob)
    for k in range(rounds + 1):
        for n in range(prob.shape[0]):
            if k < prob.shape[1] and mask[n].sum() == 0 and mask[:, order[n, k]].sum() < capacity:
                mask[n, order[n, k]] = 1
    return mask


def switch(p, x, o):
    E, N = o["experts"], x.shape[0]
    prob = torch.softmax(x @ p[AT + "gate.weight"].T, -1)
    gate, index = prob.max(-1)
    mask = F.one_hot(index, E).double()
    loss = balance(o, mask, prob)
    if "reroute" in o:
        return combine(p, x, rerouted(prob.detach(), slots(o, N), o["reroute"]) * prob), loss
    if "factor" in o:
        mask = grouped(o, mask)
        mask = (mask * (places(mask) < slots(o, mask.shape[1]))).view(N, E)
    return combine(p, x, mask * gate[:, None]), loss


def gshard(p, x, o):
    E, N = o["experts"], x.shape[0]
    prob = torch.softmax(x @ p[AT + "gate.weight"].T, -1)
    i1 = prob.argmax(-1)
    m1 = F.one_hot(i1, E).double()
    m2 = F.one_hot((prob * (1 - m1)).argmax(-1), E).double()
    g1, g2 = (prob * m1).sum(-1), (prob * m2).sum(-1)
    both = g1 + g2 + 1e-9
    g1, g2 = g1 / both, g2 / both
    loss = balance(o, m1, prob)
    if "factor" in o:
        m1, m2 = grouped(o, m1), grouped(o, m2)
        capacity = slots(o, m1.shape[1])
        m1 = m1 * (places(m1) < capacity)
        m2 = m2 * (places(m2, m1.sum(-2, keepdim=True)) < capacity)
        m1, m2 = m1.view(N, E), m2.view(N, E)
    return combine(p, x, m1 * g1[:, None] + m2 * g2[:, None]), loss


def choice(p, x, o):
    E, K = o["experts"], o["top_k"]
    prob = torch.softmax(x @ p[AT + "gate.weight"].T, -1)
    group = grouped(o, prob)
    each = math.ceil(o["factor"] * group.shape[1] * K / E * (1 - 1e-12))
    order = torch.sort(group.detach(), dim=1, descending=True, stable=True).indices
    taken = torch.zeros_like(group).scatter(1, order[:, :each], 1.0).view(-1, E)
    return combine(p, x, taken * prob), torch.zeros(())


def st_moe(p, x, o):
    E = o["experts"]
    logits = x @ p[AT + "gate.weight"].T
    prob = torch.softmax(logits, -1)
    gates, index = prob.topk(o["top_k"], -1)
    hot = F.one_hot(index, E).double()
    loss = o["aux"] * E * (hot.sum(1).mean(0) * prob.mean(0)).sum()
    loss = loss + o["z"] * torch.logsumexp(logits, -1).square().mean()
    return combine(p, x, (hot * gates[..., None]).sum(1)), loss


def deepseek(p, x, o):
    E, G, K = o["experts"], o["groups"], o["top_k"]
    s = torch.sigmoid(x @ p[AT + "gate.weight"].T)
    bias = p[AT + "gate.e_score_correction_bias"]
    choice = (s + bias).detach()
    if G > 1:
        each = choice.view(-1, G, E // G)
        best = each.topk(2, -1).values.sum(-1).topk(o["keep"], -1).indices
        kept = torch.zeros(x.shape[0], G, dtype=torch.bool).scatter(1, best, True)
        choice = each.masked_fill(~kept[..., None], float("-inf")).view(-1, E)
    index = choice.topk(K, -1).indices
    gates = s.gather(1, index)
    gates = gates / (gates.sum(-1, keepdim=True) + 1e-20) * o["scale"]
    hot = F.one_hot(index, E).double()
    load = hot.sum((0, 1))
    moved = bias.detach() + o["gamma"] * torch.sign(load.mean() - load)
    o["state"] = moved - moved.mean()
    largest = F.one_hot(s.topk(K, -1).indices, E).double().sum(1)
    f = largest.view(o["rows"], -1, E).mean(1) * E / K
    prob = (s / s.sum(-1, keepdim=True)).view(o["rows"], -1, E).mean(1)
    return combine(p, x, (hot * gates[..., None]).sum(1)), o["sequence"] * (f * prob).sum(-1).mean()


def quantile(p, x, o):
    E, K, N = o["experts"], o["top_k"], x.shape[0]
    s = torch.softmax(x @ p[AT + "gate.weight"].T, -1)
    beta = p[AT + "gate.beta"].detach()
    top = (s - beta).detach().topk(K + 1, -1)
    index, alpha = top.indices[:, :K], top.values[:, K:]
    new = (s.detach() - alpha).topk(N * K // E + 1, 0).values[-1]
    o["state"] = new - new.mean()
    gates = s.gather(1, index)
    gates = gates / gates.sum(-1, keepdim=True)
    hot = F.one_hot(index, E).double()
    return combine(p, x, (hot * gates[..., None]).sum(1)), torch.zeros(())


RULES = {"switch": switch, "gshard": gshard, "choice": choice, "st_moe": st_moe,
         "deepseek": deepseek, "quantile": quantile}


def load(folder, name):
    return np.load(f"{folder}/{name}.npy")


def number(text):
    return float(text) if "." in text else int(text)


def names_of(folder):
    import glob
    import os
    return sorted(os.path.basename(f)[:-len(".before.npy")]
                  for f in glob.glob(glob.escape(folder) + "/*.before.npy"))


def run(name, folder, words):
    o = dict(w.split("=") for w in words)
    rule = RULES[o.pop("rule")]
    o = {k: number(v) for k, v in o.items()}
    p = {n: torch.tensor(load(folder, n + ".before")).double().requires_grad_(True)
         for n in names_of(folder)}
    ids = torch.tensor(load(folder, "tokens")).long().view(-1)
    targets = torch.tensor(load(folder, "targets")).long().view(-1)
    x = p["embed"][ids]
    y, extra = rule(p, x, o)
    loss = F.cross_entropy((x + y) @ p["head"].T, targets) + extra
    loss.backward()
    for n in sorted(p):
        before = p[n].detach()
        if n.endswith(("e_score_correction_bias", "gate.beta")):
            want = o["state"]
        else:
            want = before - p[n].grad
        got = torch.tensor(load(folder, n + ".after")).double()
        most = (want - before).abs().max().item()
        print(name, n, "off", "%.3g" % ((got - want).abs().max().item() / max(most, 1e-30)))


def main():
    with open(sys.argv[1]) as f:
        for line in f:
            name, folder, *words = line.split()
            run(name, folder, words)


main()
