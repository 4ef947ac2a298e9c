#!/usr/bin/env python3
"""PyTorch as an independent reference of a model that Switchyard saved: logits and training curve.

    parity.py logits MODEL --ids ids.npy --logits ours.npy|ours.safetensors [--tolerance 2e-5]
    parity.py train  MODEL --batches batches.npy --losses ours.npy [--tolerance 1e-3]
                     [--lr 1e-3 | --lrs lrs.npy] [--beta1 0.9] [--beta2 0.95] [--eps 1e-8]
                     [--weight-decay 0.1] [--clip 1.0] [--aux X] [--z X] [--bias-rate X]
                     [--loss ce|total]
    parity.py each FILE       the commands of FILE, one a line, in one process; after each a line
                              "status N"
    parity.py selftest        a made-up model through both commands and a wrong one; no Switchyard

MODEL    folder with config.json and *.safetensors, Hugging Face names (below)
ids      integers (T) or (B,T);  logits (T,V) or (B,T,V): f32, of those ids.  In a .safetensors file
         the array is "logits", or the only one.
batches  integers (steps,B,T+1): a row's first T are the input, its last T the targets
losses   (steps) f32 or f64, or (steps,2) whose last column is the loss: before each step's update
lrs      (steps): the learning rate of each step; otherwise --lr for all

Options for both: --double (reference in float64: the default of `logits`, so that a difference is
the engine's alone), --single, --threads N, --json.  Router coefficients default to config.json's
router_aux_loss_coef and router_z_loss_coef; both losses are summed over the layers.

Prints the largest difference and where it is.  Exit status: 0 within the tolerance; 1 beyond it, or
not finite; 2 files that do not fit together; 77 where PyTorch or NumPy is missing (skip).

The model: x += attention(rmsnorm(x)); x += mlp(rmsnorm(x)); RoPE half-split; grouped-query;
optional per-head q_norm and k_norm; mlp is SwiGLU or a mixture of it, with a softmax router (top-k
of the probabilities, renormalized if norm_topk_prob) or, where a layer has a correction bias, a
sigmoid router (top-k of score + bias, weights score / sum, times routed_scaling_factor), plus
shared experts without a gate.  Every tensor of the folder must find its place: an unknown name is
an error, not a warning.

    model.embed_tokens.weight  model.norm.weight  lm_head.weight (unless tie_word_embeddings)
    model.layers.N.{input_layernorm,post_attention_layernorm}.weight
    model.layers.N.self_attn.{q,k,v,o}_proj.weight  [self_attn.{q,k}_norm.weight]
    model.layers.N.mlp.{gate,up,down}_proj.weight                a dense layer, or a mixture:
    model.layers.N.mlp.gate.weight  [mlp.gate.e_score_correction_bias]
    model.layers.N.mlp.experts.E.{gate,up,down}_proj.weight
    [model.layers.N.mlp.shared_experts.{gate,up,down}_proj.weight]

Weights are (out, in).  Load balancing: coefficient * E * sum_e f_e P_e, f_e the share of the N*K
choices, P_e the mean probability (a sigmoid router's: scores over their sum).  z: coefficient *
mean(logsumexp(router logits)^2).  AdamW: decay on tensors of two dimensions and more; the clip
factor is min(1, clip / (norm + 1e-6)).  --bias-rate: after each step the correction bias of an
expert rises by it when its load is under the mean and falls by it when over.
"""
import argparse
import glob
import json
import os
import shlex
import struct
import sys
import tempfile

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print(f"parity: skipped: {missing.name} is not installed", file=sys.stderr)
    sys.exit(77)


def refuse(text):
    print(f"parity: {text}", file=sys.stderr)
    sys.exit(2)


# -- files ----------------------------------------------------------------------------------------

TYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "|u1", "BOOL": "|b1",
         "BF16": "<u2"}


def read_safetensors(path):
    """A reader of its own: Switchyard's writer is not checked by a library's leniency."""
    with open(path, "rb") as f:
        blob = f.read()
    (n,) = struct.unpack_from("<Q", blob)
    header, arrays, at = json.loads(blob[8:8 + n]), {}, 0
    header.pop("__metadata__", None)
    for name, e in sorted(header.items(), key=lambda i: i[1]["data_offsets"]):
        begin, end = e["data_offsets"]
        if begin != at:
            refuse(f"{path}: {name}: begins at {begin}, not at {at}")
        at = end
        a = np.frombuffer(blob, TYPES[e["dtype"]], offset=8 + n + begin,
                          count=(end - begin) // np.dtype(TYPES[e["dtype"]]).itemsize)
        if e["dtype"] == "BF16":
            a = (a.astype("<u4") << 16).view("<f4")
        arrays[name] = a.reshape(e["shape"])
    if 8 + n + at != len(blob):
        refuse(f"{path}: {len(blob) - 8 - n - at} bytes after the last array")
    return arrays


def write_safetensors(path, arrays):
    header, at = {}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for a in arrays.values():
            f.write(np.ascontiguousarray(a, "<f4").tobytes())


def read_array(path, name):
    try:
        if not path.endswith(".safetensors"):
            return np.load(path, allow_pickle=False)
        arrays = read_safetensors(path)
    except (OSError, ValueError, KeyError, struct.error) as e:
        refuse(f"{path}: {e}")
    if name not in arrays and len(arrays) != 1:
        refuse(f"{path}: no array {name!r} among {', '.join(arrays)}")
    return arrays.get(name, next(iter(arrays.values())))


# -- the model ------------------------------------------------------------------------------------

class Model:
    """Weights by their names; `router` collects what the last forward pass routed."""

    def __init__(self, folder, dtype):
        try:
            with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
                c = json.load(f)
        except (OSError, ValueError) as e:
            refuse(f"{folder}/config.json: {e}")
        self.w = {}
        for path in sorted(glob.glob(os.path.join(folder, "*.safetensors"))):
            for name, a in read_safetensors(path).items():
                self.w[name] = torch.tensor(np.array(a, dtype="f8"), dtype=dtype)
        if not self.w:
            refuse(f"{folder}: no .safetensors file with arrays")
        self.used = set()
        self.layers = c["num_hidden_layers"]
        self.heads = c["num_attention_heads"]
        self.kv_heads = c.get("num_key_value_heads") or self.heads
        self.width = c["hidden_size"]
        self.head_dim = c.get("head_dim") or self.width // self.heads
        self.eps = c.get("rms_norm_eps", 1e-5)
        rope = c.get("rope_parameters") or {}
        self.theta = c.get("rope_theta", rope.get("rope_theta", 10000.0))
        part = c.get("partial_rotary_factor", rope.get("partial_rotary_factor", 1.0))
        self.rotated = int(self.head_dim * part)
        self.top_k = c.get("num_experts_per_tok", 1)
        self.renormalize = c.get("norm_topk_prob", True)
        self.scale = c.get("routed_scaling_factor", 1.0)
        self.tied = c.get("tie_word_embeddings", False)
        self.aux = c.get("router_aux_loss_coef", 0.0)
        self.z = c.get("router_z_loss_coef", 0.0)
        self.dtype = dtype
        self.router = []
        self.check(c)

    def check(self, c):
        """A pass over one token shows which names are missing and which are never used."""
        self.logits(torch.zeros(1, 1, dtype=torch.long), all_experts=True)
        spare = sorted(set(self.w) - self.used)
        if spare:
            refuse(f"{len(spare)} tensors with names that have no place here: "
                   + ", ".join(spare[:4]))
        count = sum(1 for n in self.w if n.startswith("model.layers.") and ".mlp.experts." in n)
        mixed = sum(1 for n in self.w if n.endswith("mlp.gate.weight"))
        said = c.get("num_experts") or c.get("n_routed_experts") or c.get("num_local_experts") or 0
        if mixed and count != 3 * said * mixed:
            refuse(f"config.json has {said} experts, the tensors {count / 3 / mixed:g} a layer")

    def get(self, name, optional=False):
        if name not in self.w:
            if optional:
                return None
            refuse(f"tensor missing: {name}")
        self.used.add(name)
        return self.w[name]

    def norm(self, x, name, optional=False):
        w = self.get(name, optional)
        if w is None:
            return x
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * w

    def rope(self, x):
        r, t = self.rotated, x.shape[2]
        freq = self.theta ** (-torch.arange(0, r, 2, dtype=torch.float64) / r)
        angle = torch.outer(torch.arange(t, dtype=torch.float64), freq)
        cos, sin = angle.cos().to(self.dtype), angle.sin().to(self.dtype)
        a, b, rest = x[..., : r // 2], x[..., r // 2: r], x[..., r:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), -1)

    def attention(self, x, at):
        b, t, _ = x.shape

        def heads(which, n):
            y = F.linear(x, self.get(f"{at}.{which}_proj.weight"))
            return y.view(b, t, n, -1).transpose(1, 2)

        q = self.rope(self.norm(heads("q", self.heads), f"{at}.q_norm.weight", True))
        k = self.rope(self.norm(heads("k", self.kv_heads), f"{at}.k_norm.weight", True))
        v = heads("v", self.kv_heads)
        k, v = (z.repeat_interleave(self.heads // self.kv_heads, 1) for z in (k, v))
        score = q @ k.transpose(2, 3) / self.head_dim ** 0.5
        hidden = torch.ones(t, t, dtype=torch.bool).triu(1)
        y = score.masked_fill(hidden, float("-inf")).softmax(-1) @ v
        return F.linear(y.transpose(1, 2).reshape(b, t, -1), self.get(f"{at}.o_proj.weight"))

    def swiglu(self, x, at):
        gate = F.silu(F.linear(x, self.get(f"{at}.gate_proj.weight")))
        return F.linear(gate * F.linear(x, self.get(f"{at}.up_proj.weight")),
                        self.get(f"{at}.down_proj.weight"))

    def route(self, x, at):
        logits = F.linear(x, self.get(f"{at}.gate.weight"))
        bias = self.get(f"{at}.gate.e_score_correction_bias", True)
        if bias is None:
            prob = logits.softmax(-1)
            gate, expert = prob.topk(self.top_k, -1)
            if self.renormalize:
                gate = gate / gate.sum(-1, keepdim=True)
        else:
            score = logits.sigmoid()
            prob = score / score.sum(-1, keepdim=True)
            expert = (score.detach() + bias.detach()).topk(self.top_k, -1).indices
            gate = score.gather(1, expert)
            if self.renormalize:
                gate = gate / (gate.sum(-1, keepdim=True) + 1e-20)
            gate = gate * self.scale
        load = torch.bincount(expert.flatten(), minlength=logits.shape[1]).to(self.dtype)
        self.router.append((at, logits, prob, load))
        return gate, expert

    def mixture(self, x, at, all_experts):
        shape, x = x.shape, x.reshape(-1, self.width)
        gate, expert = self.route(x, at)
        y = torch.zeros_like(x)
        for e in range(self.get(f"{at}.gate.weight").shape[0]):
            row, slot = torch.where(expert == e)
            if all_experts or len(row):
                y = y.index_add(0, row, self.swiglu(x[row], f"{at}.experts.{e}")
                                * gate[row, slot, None])
        if f"{at}.shared_experts.up_proj.weight" in self.w:
            y = y + self.swiglu(x, f"{at}.shared_experts")
        return y.view(shape)

    def logits(self, ids, all_experts=False):
        self.router = []
        x = self.get("model.embed_tokens.weight")[ids]
        for i in range(self.layers):
            at = f"model.layers.{i}"
            x = x + self.attention(self.norm(x, f"{at}.input_layernorm.weight"), f"{at}.self_attn")
            h = self.norm(x, f"{at}.post_attention_layernorm.weight")
            if f"{at}.mlp.gate.weight" in self.w:
                x = x + self.mixture(h, f"{at}.mlp", all_experts)
            else:
                x = x + self.swiglu(h, f"{at}.mlp")
        head = "model.embed_tokens.weight" if self.tied else "lm_head.weight"
        return F.linear(self.norm(x, "model.norm.weight"), self.get(head))

    def losses(self, ids, targets):
        """Cross entropy, and with the routers' losses."""
        logits = self.logits(ids)
        ce = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        total = ce
        for _, z, prob, load in self.router:
            total = total + self.aux * len(load) * (load / load.sum() * prob.mean(0)).sum()
            total = total + self.z * z.logsumexp(-1).square().mean()
        return ce, total

    def move_bias(self, speed):
        for at, _, _, load in self.router:
            bias = self.w.get(f"{at}.gate.e_score_correction_bias")
            if bias is not None:
                bias += speed * torch.sign(load.mean() - load)


# -- commands -------------------------------------------------------------------------------------

def token_ids(a, path, vocab):
    if a.dtype.kind not in "iu":
        refuse(f"{path}: {a.dtype}, not integers")
    if a.size == 0 or a.min() < 0 or a.max() >= vocab:
        refuse(f"{path}: empty, or ids outside 0..{vocab - 1}")
    return torch.tensor(a.astype("i8"))


def report(a, what, ours, theirs, limit):
    difference = np.abs(ours.astype("f8") - theirs)
    finite = bool(np.isfinite(ours).all() and np.isfinite(theirs).all())
    worst = np.unravel_index(np.argmax(np.where(np.isfinite(difference), difference, np.inf)),
                             difference.shape)
    good = finite and float(difference.max()) <= limit
    r = {"check": what, "ok": good, "max_difference": float(difference[worst]),
         "tolerance": limit, "at": [int(i) for i in worst], "ours": float(ours[worst]),
         "reference": float(theirs[worst]), "compared": int(difference.size)}
    if a.json:
        print(json.dumps(r))
    else:
        print(f"parity {what}: {'ok' if good else 'DIFFERS'}: largest difference "
              f"{r['max_difference']:.3g} of {r['compared']} (at most {limit:g}), at "
              f"{tuple(r['at'])}: ours {r['ours']:.7g}, reference {r['reference']:.7g}")
    return 0 if good else 1


def check_logits(a):
    m = Model(a.model, torch.float32 if a.single else torch.float64)
    ids = token_ids(read_array(a.ids, "ids"), a.ids, len(m.get("model.embed_tokens.weight")))
    with torch.no_grad():
        theirs = m.logits(ids.reshape(-1, ids.shape[-1])).double().numpy()
    ours = read_array(a.logits, "logits")
    if ours.size != theirs.size or ours.shape[-2:] != theirs.shape[-2:]:
        refuse(f"{a.logits}: {ours.shape}, for these ids {theirs.shape} is expected")
    return report(a, "logits", ours.reshape(theirs.shape), theirs, a.tolerance or 2e-5)


def clip(params, limit):
    norm = torch.stack([p.grad.square().sum() for p in params]).sum().sqrt()
    if limit > 0:
        for p in params:
            p.grad *= torch.clamp(limit / (norm + 1e-6), max=1.0)


def check_train(a):
    m = Model(a.model, torch.float64 if a.double else torch.float32)
    m.aux = m.aux if a.aux is None else a.aux
    m.z = m.z if a.z is None else a.z
    batches = read_array(a.batches, "batches")
    ours = read_array(a.losses, "losses")
    ours = ours[:, -1] if ours.ndim == 2 else ours
    if batches.ndim != 3 or len(ours) != len(batches):
        refuse(f"batches {batches.shape} and losses {ours.shape} do not fit together")
    rates = read_array(a.lrs, "lrs") if a.lrs else np.full(len(batches), a.lr)
    if rates.shape != (len(batches),):
        refuse(f"{a.lrs}: {rates.shape} learning rates for {len(batches)} steps")
    tokens = token_ids(batches, a.batches, len(m.get("model.embed_tokens.weight")))
    params = [p.requires_grad_() for n, p in m.w.items() if not n.endswith("correction_bias")]
    opt = torch.optim.AdamW([
        {"params": [p for p in params if p.dim() > 1], "weight_decay": a.weight_decay},
        {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}],
        lr=a.lr, betas=(a.beta1, a.beta2), eps=a.eps)
    theirs = np.zeros(len(batches))
    for step, rows in enumerate(tokens):
        for g in opt.param_groups:
            g["lr"] = float(rates[step])
        ce, total = m.losses(rows[:, :-1], rows[:, 1:])
        theirs[step] = (total if a.loss == "total" else ce).item()
        for p in params:
            p.grad = torch.zeros_like(p)  # an expert without tokens decays like the others
        total.backward()
        clip(params, a.clip)
        opt.step()
        with torch.no_grad():
            m.move_bias(a.bias_rate)
    return report(a, "train", ours, theirs, a.tolerance or 1e-3)


# -- selftest -------------------------------------------------------------------------------------

def made_up(folder, sigmoid):
    """A model of two layers, the first dense, with everything optional that the names allow."""
    rng = np.random.default_rng(7)
    C, H, G, D, E, FF, V = 16, 4, 2, 4, 4, 12, 32
    w = {"model.embed_tokens.weight": (V, C), "model.norm.weight": (C,), "lm_head.weight": (V, C)}
    for i in range(2):
        p = f"model.layers.{i}."
        w |= {p + "input_layernorm.weight": (C,), p + "post_attention_layernorm.weight": (C,),
              p + "self_attn.q_proj.weight": (H * D, C), p + "self_attn.k_proj.weight": (G * D, C),
              p + "self_attn.v_proj.weight": (G * D, C), p + "self_attn.o_proj.weight": (C, H * D)}
        parts = ["mlp."] if i == 0 else [f"mlp.experts.{e}." for e in range(E)]
        if i == 1:
            w[p + "mlp.gate.weight"] = (E, C)
            if sigmoid:
                w[p + "mlp.gate.e_score_correction_bias"] = (E,)
                parts.append("mlp.shared_experts.")
        for part in parts:
            w |= {p + part + "gate_proj.weight": (FF, C), p + part + "up_proj.weight": (FF, C),
                  p + part + "down_proj.weight": (C, FF)}
    write_safetensors(os.path.join(folder, "model.safetensors"), {
        n: (np.ones(s) if "norm" in n else rng.normal(size=s) * 0.3).astype("<f4")
        for n, s in w.items()})
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump({"hidden_size": C, "num_hidden_layers": 2, "num_attention_heads": H,
                   "num_key_value_heads": G, "num_experts": E, "num_experts_per_tok": 2,
                   "moe_intermediate_size": FF, "intermediate_size": FF, "rms_norm_eps": 1e-5,
                   "rope_theta": 10000.0, "norm_topk_prob": True, "tie_word_embeddings": False,
                   "router_aux_loss_coef": 0.01, "router_z_loss_coef": 0.001}, f)
    return rng.integers(0, V, (12, 2, 9)).astype("<i4")


def selftest(a):
    """fp32 against float64 must agree; a shifted logit and a shifted loss must not."""
    bad = 0
    for sigmoid in (False, True):
        with tempfile.TemporaryDirectory() as d:
            at = {n: os.path.join(d, n + ".npy") for n in ("ids", "logits", "batches", "losses")}
            batches = made_up(d, sigmoid)
            np.save(at["batches"], batches)
            np.save(at["ids"], batches[0, :, :-1])
            m = Model(d, torch.float32)
            ids = torch.tensor(batches[0].astype("i8"))
            with torch.no_grad():
                np.save(at["logits"], m.logits(ids[:, :-1]).numpy())
            run = ["logits", d, "--ids", at["ids"], "--logits", at["logits"]]
            bad += main(run) != 0
            np.save(at["logits"], np.load(at["logits"]) + np.float32(1e-4))
            bad += main(run) != 1
            first = m.losses(ids[:, :-1], ids[:, 1:])[0].item()
            curve = np.full(len(batches), first)
            np.save(at["losses"], curve)
            np.save(at["batches"], np.repeat(batches[:1], len(batches), 0))
            run = ["train", d, "--batches", at["batches"], "--losses", at["losses"]]
            bad += main(run + ["--lr", "0", "--double", "--bias-rate", "0"]) != 0
            bad += main(run + ["--lr", "1e-2"]) != 1
    print("parity selftest:", "ok (two that agree and two that differ, twice)" if not bad
          else f"{bad} wrong")
    return 1 if bad else 0


def each(a):
    """PyTorch takes seconds to load: once for many checks."""
    worst = 0
    with open(a.file, encoding="utf-8") as f:
        for line in f:
            try:
                status = main(shlex.split(line))
            except SystemExit as e:
                status = e.code
            print("status", status, flush=True)
            worst = max(worst, status)
    return worst


def parser():
    p = argparse.ArgumentParser(description="PyTorch as an independent reference of a saved model")
    sub = p.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--tolerance", type=float)
    common.add_argument("--threads", type=int, default=2)
    common.add_argument("--json", action="store_true")
    kind = common.add_mutually_exclusive_group()
    kind.add_argument("--double", action="store_true")
    kind.add_argument("--single", action="store_true")
    one = sub.add_parser("logits", parents=[common])
    two = sub.add_parser("train", parents=[common])
    for q in (one, two):
        q.add_argument("model")
    one.add_argument("--ids", required=True)
    one.add_argument("--logits", required=True)
    two.add_argument("--batches", required=True)
    two.add_argument("--losses", required=True)
    for name, value in (("lr", 1e-3), ("beta1", 0.9), ("beta2", 0.95), ("eps", 1e-8),
                        ("weight-decay", 0.1), ("clip", 1.0), ("aux", None), ("z", None),
                        ("bias-rate", 0.0)):
        two.add_argument("--" + name, type=float, default=value)
    two.add_argument("--lrs")
    two.add_argument("--loss", choices=["ce", "total"], default="ce")
    sub.add_parser("selftest", parents=[common])
    sub.add_parser("each", parents=[common]).add_argument("file")
    return p


def main(words=None):
    a = parser().parse_args(words)
    torch.set_num_threads(a.threads)
    return {"logits": check_logits, "train": check_train, "selftest": selftest, "each": each}[a.command](a)


if __name__ == "__main__":
    sys.exit(main())
