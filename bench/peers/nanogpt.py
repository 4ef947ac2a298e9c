#!/usr/bin/env python3
"""nanoGPT's CPU recipe on the characters of a text, in PyTorch, as a yardstick of quality and time.

Written from the published recipe (github.com/karpathy/nanoGPT, README "I only have a macbook"), no
code taken: GPT-2 blocks without biases, learned positions, tied head, normal(0.02) weights with the
residual projections at 0.02/sqrt(2L); 4 layers, 4 heads, 128 wide, block 64, batch 12, dropout 0;
AdamW 1e-3 -> 1e-4 by cosine over 2000 steps after 100 of warm-up, betas (0.9, 0.99), weight decay
0.1 on matrices, clip 1.0.  Characters of the whole file are the vocabulary, the last 10% validate.
Evaluation at 0, 250, ..., 2000: 20 random batches of each split.  fp32, no torch.compile.

    nanogpt.py FILE [--threads 2] [--steps 2000] [--seed 1337] [--json]

Prints the last and the best validation loss (nats a character), the loss of the final parameters over
200 batches (less noisy; outside of the times), the seconds of the whole training with its
evaluations, and the seconds of the steps alone.  Exit status 77 where torch is missing.
"""
import argparse
import json
import math
import os
import sys
import time

L, H, C, T, B = 4, 4, 128, 64, 12
LR, MIN_LR, WARMUP, EVAL_EVERY, EVAL_BATCHES = 1e-3, 1e-4, 100, 250, 20
FINAL_BATCHES = 200


def rate(step, steps):
    if step < WARMUP:
        return LR * (step + 1) / (WARMUP + 1)
    part = min(1.0, (step - WARMUP) / max(1, steps - WARMUP))
    return MIN_LR + 0.5 * (LR - MIN_LR) * (1 + math.cos(math.pi * part))


def build(vocab):
    import torch
    import torch.nn.functional as F
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = nn.LayerNorm(C, bias=False), nn.LayerNorm(C, bias=False)
            self.qkv, self.out = nn.Linear(C, 3 * C, bias=False), nn.Linear(C, C, bias=False)
            self.up, self.down = nn.Linear(C, 4 * C, bias=False), nn.Linear(4 * C, C, bias=False)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (z.view(b, t, H, C // H).transpose(1, 2)
                       for z in self.qkv(self.n1(x)).split(C, 2))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, C))
            return x + self.down(F.gelu(self.up(self.n2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Embedding(vocab, C), nn.Embedding(T, C)
            self.blocks = nn.Sequential(*(Block() for _ in range(L)))
            self.norm = nn.LayerNorm(C, bias=False)
            for name, p in self.named_parameters():
                if p.dim() > 1:
                    narrow = name.endswith(("out.weight", "down.weight"))
                    nn.init.normal_(p, 0.0, 0.02 / math.sqrt(2 * L) if narrow else 0.02)

        def forward(self, x, y):
            h = self.token(x) + self.place.weight[: x.shape[1]]
            logits = F.linear(self.norm(self.blocks(h)), self.token.weight)
            return F.cross_entropy(logits.view(-1, vocab), y.view(-1))

    return GPT()


def train(a, text):
    import torch
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    chars = sorted(set(text))
    ids = {c: i for i, c in enumerate(chars)}
    data = torch.tensor([ids[c] for c in text])
    cut = int(0.9 * len(data))
    splits = {"train": data[:cut], "val": data[cut:]}
    model = build(len(chars))
    params = list(model.parameters())
    opt = torch.optim.AdamW([{"params": [p for p in params if p.dim() > 1], "weight_decay": 0.1},
                             {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}],
                            lr=LR, betas=(0.9, 0.99))

    def batch(split):
        d = splits[split]
        at = torch.randint(len(d) - T, (B,)).tolist()
        win = torch.stack([d[i:i + T + 1] for i in at])
        return win[:, :-1].contiguous(), win[:, 1:].contiguous()

    @torch.no_grad()
    def evaluate(batches=EVAL_BATCHES):
        return {s: sum(model(*batch(s)).item() for _ in range(batches)) / batches for s in splits}

    curve, start, stepping = [], time.monotonic(), 0.0
    for step in range(a.steps + 1):
        if step % EVAL_EVERY == 0 or step == a.steps:
            e = evaluate()
            curve.append((step, e["val"]))
            print(f"step {step}/{a.steps}  train {e['train']:.4f}  val {e['val']:.4f}  "
                  f"{time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
        if step == a.steps:
            break
        t0 = time.monotonic()
        for g in opt.param_groups:
            g["lr"] = rate(step, a.steps)
        model(*batch("train")).backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        stepping += time.monotonic() - t0
    seconds = time.monotonic() - start
    final = evaluate(FINAL_BATCHES)["val"]
    return {"peer": "nanoGPT recipe, torch " + torch.__version__, "threads": a.threads,
            "steps": a.steps, "tokens": a.steps * B * T, "vocab": len(chars),
            "params": sum(p.numel() for p in params), "val_loss": curve[-1][1], "final_val_loss": final,
            "best_val_loss": min(v for _, v in curve), "seconds": seconds,
            "step_seconds": stepping, "tok_s": a.steps * B * T / stepping, "curve": curve}


def main():
    p = argparse.ArgumentParser(description="nanoGPT's CPU recipe on a text's characters")
    p.add_argument("file")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--seed", type=int, default=1337)
    p.add_argument("--json", action="store_true")
    a = p.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(a.threads)
    try:
        import torch  # noqa: F401
    except ImportError:
        print("nanogpt: skipped: PyTorch is not installed (pip install torch)", file=sys.stderr)
        sys.exit(77)
    try:
        with open(a.file, encoding="utf-8") as f:
            text = f.read()
    except (OSError, UnicodeDecodeError) as e:
        sys.exit(f"nanogpt: {a.file}: {e}")
    if len(text) < 20 * (T + 1):
        sys.exit(f"nanogpt: {a.file}: {len(text)} characters are too few")
    r = train(a, text)
    if a.json:
        print(json.dumps(r))
    else:
        print(f"{r['peer']}: val {r['val_loss']:.4f} (best {r['best_val_loss']:.4f}, "
              f"{r['final_val_loss']:.4f} over {FINAL_BATCHES} batches)  "
              f"{r['seconds']:.1f} s with evaluations, {r['step_seconds']:.1f} s without  "
              f"{r['tok_s']:.0f} tok/s  {r['params']} parameters")


if __name__ == "__main__":
    main()
