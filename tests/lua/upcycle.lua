-- m:upcycle: every expert is the dense layer; where the new model begins as the dense one, to the
-- bit or to a rounding, and where it cannot.  TAP.

local own = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/own_routers.lua")
local t, d, says = own.t, own.data, own.says
local ok, is, with, E = t.ok, t.is, t.with, own.E
local engine = require "switchyard.engine"
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local cases = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/identity_cases.lua")
local hand = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/by_hand.lua")

local function dense(more) return model.dense(with(own.DENSE, with({ffn_dim = 24}, more))) end
local m = dense()
local ids = {1, 5, 2, 7, 3, 3, 9, 4}
local before = m:logits(ids)

do -- what it is made of
  local n = m:upcycle {experts = E, top_k = 2}
  is(n.family .. n.cfg.experts .. n.cfg.top_k .. n.cfg.expert_dim, "moe4224", "a model.moe")
  for i, info in ipairs(n._info) do
    local p = n.params[i]:detach()
    if info.experts > 0 then
      local from = m.params[info.name:gsub("experts%.", "")]
      for e = 1, E do
        ok(p[e]:hash() == from:hash(), ("%s: expert %d"):format(info.name, e))
      end
    elseif not info.name:find "gate.weight" then
      is(p:hash(), m.params[info.name]:hash(), info.name)
    end
  end
  local w = n.params["model.layers.0.mlp.gate.weight"]
  ok(w:abs():max():item() > 0, "the router is from scratch")
  is(w:hash(), m:upcycle({experts = E, top_k = 2}).params["model.layers.0.mlp.gate.weight"]:hash(),
    "a function of the seed")
  ok(w:hash() ~= m:upcycle({experts = E, top_k = 2, seed = 9})
    .params["model.layers.0.mlp.gate.weight"]:hash(), "of the one that is given")
  is(m:logits(ids):hash(), before:hash(), "the dense model stays")
end

-- ---- at step 0 ----

local function begun(case)
  local o = {experts = E, top_k = case.K, router = cases.options_of(case.router),
             capacity = false}
  local n, off = m:upcycle(o)
  return t.furthest(n:logits(ids), before), off, n
end

-- How far a token's gates are from summing to 1, and what is added beside them, in weights as they
-- begin; K = 1 of 0.5 is as far off as it can be.
local function weighs(case, n)
  local x = tensor.randn({12, own.C}, {seed = 5, dtype = "f64"})
  local r = hand.route(case.router, n, x, {E = E, K = case.K,
    options = cases.options_of(case.router)})
  if r.plus then return math.huge end
  return (hand.dense(r, E):sum(-1) - 1):abs():max():item()
end

local most = before:abs():max():item()
local function try_begin(case)
  local apart, off, n = begun(case)
  local what = ("%s, K = %d: "):format(case.name, case.K)
  local wrong = weighs(case, n)
  if wrong > 1e-6 then
    ok(apart > 1e-4 * most and off > 1e-4 * most, what .. "not, and it says so", off)
  elseif wrong == 0 and case.router.gives == "" and case.K < 3 then -- a third is rounded
    is(apart + off, 0, what .. "to the bit")
  else
    ok(apart < 1e-5 * most and off < 1e-5 * most, what .. "to a rounding", apart)
  end
end

for _, case in ipairs(cases.all(model.moe, with(own.DENSE, {experts = E, expert_dim = 8}))) do
  for K = 1, 3 do
    case.K = K
    if pcall(case.make) then try_begin(case) end
  end
end
do -- weights of 0: gates of 1/2, whose sum is exact
  local apart, off = begun {K = 2, router = nn.routers.noisy_topk}
  is(apart + off, 0, "noisy_topk: to the bit")
end
do
  local text = t.child [[-e 'local m = model.dense{layers = 1, dim = 16, heads = 2, vocab = 32,
    context = 16, ffn_dim = 16} m:upcycle{experts = 4, top_k = 1, router = "switch"}
    m:upcycle{experts = 4, top_k = 2} m:upcycle{experts = 4, top_k = 1, router = "hash"}
    print "done"']]
  ok(text:find("[upcycle] the first logits are off by", 1, true)
    and text:find("(router 'switch' weighs with gates that do not sum to 1)", 1, true),
    "a line says that it does not begin as the dense model", text)
  is(select(2, text:gsub("%[upcycle%]", "")) .. "", select(2, text:gsub("switch' weighs", ""))
    + select(2, text:gsub("a rounding: the gates of a token sum to 1", "")) .. "",
    "or is off by a rounding; nothing is said of what is equal")
end
do -- whatever is dropped in evaluation
  local n, off = m:upcycle {experts = E, top_k = 1, router = "hash",
                            capacity = {train = 1, eval = 0.25}}
  is(off, 0.0, "a capacity is no difference")
  is(n.cfg.capacity.eval, 0.25, "which the new model has")
end

-- ---- forms, layers, what is beside ----

for _, form in ipairs {{activation = "relu", gated = false}, {activation = "swiglu_oai"},
                       {qk_norm = true, kv_heads = 1, tie = true, theta = 500}} do
  local a = dense(form)
  local n, off = a:upcycle {experts = 3, top_k = 1, router = "uniform"}
  is(off, 0.0, "the form is the dense model's")
  is(n:logits(ids):hash(), a:logits(ids):hash(), "and its logits")
end
do
  local n = m:upcycle {experts = E, top_k = 1, router = "hash", dense_layers = 1}
  ok(rawget(n.params, "model.layers.0.mlp.up_proj.weight")
    and rawget(n.params, "model.layers.1.mlp.experts.up_proj.weight"), "leading layers stay dense")
  is(n:logits(ids):hash(), before:hash(), "which changes nothing")
end
do
  local bytes = model.dense {layers = 1, dim = 16, heads = 2, vocab = tokenizer.bytes(),
                             context = 8, ffn_dim = 8}
  is(bytes:upcycle({experts = 2, top_k = 1, router = "hash"}).tokenizer.hash, bytes.tokenizer.hash,
    "the tokenizer is the model's")
end

-- ---- it trains on, is stored and read ----

do
  local folder = engine.runs_dir()
  assert(os.execute(("mkdir -p '%s'"):format(folder)))
  local path = t.write(folder .. "/upcycle.lua", [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      ffn_dim = 16}
    train(m, d, {steps = 3, batch = 2, save = false, eval_every = 0}):wait()
    local n = m:upcycle{experts = 4, top_k = 2}
    n:save(arg[1])
    print("apart", (model.load(arg[1]):logits{1, 2, 3} - n:logits{1, 2, 3}):abs():max():item())
    train(n, d, {steps = 4, batch = 2, name = "upcycled", eval_every = 0}):wait()
  ]])
  local text = t.child(("'%s' '%s/upcycled-model'"):format(path, folder))
  ok(text:find "apart\t0.0\n" and text:find "step 4/4", "saved, read, trained", text)
  text = t.child "replay upcycled"
  ok(text:find "identical through step 4", "replayed from what it began with", text)
end

-- ---- an encoder and a decoder ----

do
  local tok = tokenizer.bytes {sentinels = 20}
  local text = small.words(4000, tok)
  local dense = model.encdec {layers = 2, decoder_layers = 2, dim = 16, heads = 2,
                              input_context = 40, vocab = tok, version = "1.0"}
  local up, off = dense:upcycle {experts = 4, router = "softmax", top_k = 2, moe_every = 1}
  is(up.family .. up.cfg.experts, "encdec4", "upcycled")
  ok(off < 1e-4, "begins as the dense one, to a rounding", off)
  ok(up.params["encoder.layers.0.mlp.experts.up_proj.weight"][3]:hash()
    == dense.params["encoder.layers.0.mlp.up_proj.weight"]:hash(), "each expert is the dense layer")
  up = dense:upcycle {experts = 2, router = "switch"}
  is(up.cfg.top_k, 1, "by the router's preference")
  is(up.cfg.capacity.eval, 2, "capacity, too")
  is(train(up, text, {objective = "span", steps = 4, batch = 4, eval_every = 0, save = false})
    :wait().state, "done", "and learns")
  t.refuses(function() up:upcycle {experts = 2} end, "a mixture", "none that is dense")
  t.refuses(function() dense:upcycle {} end, "no experts", "experts is not given")
  t.refuses(function() dense:upcycle {experts = 2, moe_layers = {}} end, "no layer", "no layer")
end

-- ---- refused ----

local function refused(line, f) says(f, line) end
refused("upcycle: model.moe is none that is dense through and through; it takes model.dense, or "
  .. "model.encdec without experts",
  function() own.moe():upcycle {experts = 4} end)
refused("upcycle: shared_experts: it adds to the output, which would no longer be the dense "
  .. "model's",
  function() m:upcycle {experts = 4, shared_experts = 1} end)
refused("upcycle: expert_dim: an expert is as wide as the dense layer (ffn_dim)",
  function() m:upcycle {experts = 4, expert_dim = 8} end)
t.refuses(function() m:upcycle {expert = 4} end, "an unknown option",
  "upcycle: unknown option 'expert' (did you mean 'experts'?)")
refused("upcycle: takes a table {experts = n, ...}, got number", function() m:upcycle(4) end)
refused("model.moe: top_k must be at most experts: top_k is 2, experts is 1",
  function() m:upcycle {experts = 1, top_k = 2} end)
refused("upcycle: dense_layers is 2: no layer of 2 has experts",
  function() m:upcycle {experts = 2, dense_layers = 2} end)
t.refuses(function() m:upcycle {experts = 4, router = "swich"} end, "a router",
  "unknown router 'swich'")

t.done()
