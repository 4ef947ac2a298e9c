-- Runs of encoder-decoders on spans of text: they learn, evaluate, decode while they run, and give
-- the same bits resumed, rewound, forked, replayed, recomputed; a saved model is the same.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near, refuses, with = t.ok, t.is, t.near, t.refuses, t.with

local tok = tokenizer.bytes {sentinels = 20}
local d = small.words(4000, tok)

local MIX = {experts = 4, top_k = 2, moe_first = 1, router = "softmax", capacity = 1.5,
             dropout = 0.1}

local function make(more)
  return model.encdec(with({layers = 2, decoder_layers = 2, dim = 16, heads = 2, input_context = 40,
    vocab = tok, seed = 2}, more))
end

local function run(m, more, f)
  return small.run(m, d, with({objective = "span", steps = 14, batch = 4, lr = 3e-3, warmup = 2,
    eval_every = 7, eval_batches = 2, checkpoint_every = 5, save = false}, more), f)
end

-- ---- learning ----

do
  local m = make {dim = 32}
  local r = run(m, {steps = 250, lr = 1e-2, schedule = "constant", batch = 16, eval_every = 50})
  local losses = r:history "loss"
  ok(r.loss < 0.5 * losses[1][2]:item(), "it learns", r.loss)
  near(r:eval(2), m:loss(d, {batches = 2}), 1e-5, "m:loss is the run's evaluation")
  -- blanks of the text are filled with something of the text's form: the first sentinel comes first
  local written = m:_decode("the <extra_id_0> fox jumps over <extra_id_1> dog<|endoftext|>", {})[1]
  ok(#written.ids > 0 and written.score < 0, "it decodes")
  is(m.tokenizer:token(written.ids[1]), "<extra_id_0>", "and begins with the first sentinel")
  local filled, list = m:fill "the quick ___ fox jumps over ___ dog"
  ok(filled:find("the quick ", 1, true) == 1 and filled:find(" dog", 1, true) and #list == 2,
    "m:fill fills two blanks", filled)
end

ok(tostring(make(MIX)):find "FLOP", "printed, though FLOPs a token are no whole number")

-- ---- the same bits ----

local want = run(make(MIX)):hash()
is(run(make(MIX)):hash(), want, "the same again")
is(run(make(MIX), {recompute = true}):hash(), want, "computed again in the backward pass")
is(run(make(MIX), {eval_every = 0}):hash(), want, "evaluations change nothing")
ok(run(make(MIX), {precision = "bf16"}):hash() ~= want, "bf16")
do
  local r = run(make(MIX), {save = true, name = "spans", paused = true})
  r:steps(8)
  r:wait()
  local m = r.model
  ok(m:_decode("the dog", {tokens = 5, beam = 2})[1].score < 0, "decoded while it is paused")
  r:stop()
  r:close()
  r = train.resume "spans"
  is(r.layers[1].label .. " " .. r.layers[4].label, "enc 1 dec 2", "labels of the run's layers")
  is(#r.layers[1].experts, 4, "mixtures in the first of each pair")
  r:wait()
  is(r:hash(), want, "resumed")
  r:rewind(6)
  r:resume():wait()
  is(r:hash(), want, "rewound")
  local f = r:fork {step = 9, name = "spans-fork"}
  f:wait()
  is(f:hash(), want, "forked")
  ok(replay "spans", "replayed")
end
do
  local r = run(make(MIX), {}, function(self, step) if step == 4 then self.top_k = 1 end end)
  ok(r:hash() ~= want, "r.top_k changes it while it runs")
end

do -- a router's own capacity does not come back
  local r = run(make(with(MIX, {router = "switch", top_k = 1, capacity = 0.25})), {paused = true})
  r:steps(3):wait()
  ok(r:history "drop.1":table()[3][2] > 0, "a capacity drops tokens")
  r.capacity = nil
  r:steps(3):wait()
  is(r:history "drop.1".shape[1], 3, "r.capacity = nil: none is dropped from then on")
  r:stop()
end

is(run(make {}, {objective = {span = 0.5, prefix = 0.5}}).state, "done", "spans and prefixes")

-- Accumulated micro-batches are one batch: dense, without dropout.
do
  local one = run(make {}, {batch = 8, steps = 6, lr = 1e-3})
  local two = run(make {}, {batch = 4, accumulate = 2, steps = 6, lr = 1e-3})
  near(two.loss, one.loss, 1e-5, "two micro-batches are one batch")
  near(two.val_loss, one.val_loss, 1e-4, "and lead to the same")
end

-- One rate for all, experts too, unless they have their own.
do
  is(make(MIX).cfg.expert_dropout, 0.1, "expert_dropout is by default the rate of all")
  ok(run(make(with(MIX, {expert_dropout = 0})), {steps = 2}):hash() ~=
    run(make(MIX), {steps = 2}):hash(), "and has an effect")
  is(make {dropout = 0.1}.cfg.expert_dropout, nil, "there is none without experts")
end

-- ---- what layers are called ----

do
  nn.router("stuck", {rule = "ever the same", doc = "the first experts", route = function(ctx)
    local p = (ctx:logits():clamp({lo = 0, hi = 0}) + tensor {3, 2, 1, 0}):softmax(-1)
    local gates, experts = p:topk(ctx.K)
    return {gates = gates, experts = experts, scores = p}
  end})
  local r = run(model.encdec {layers = 1, decoder_layers = 1, dim = 8, heads = 2, experts = 4,
    top_k = 1, input_context = 16, vocab = tok, moe_layers = {2}, router = "stuck"},
    {steps = 130, batch = 1, eval_every = 0})
  local said = {}
  for _, a in ipairs(r:alarms()) do said[a.name] = a.text end
  ok(said["dead experts"]:find("(dec 1: 2 3 4)", 1, true), "an alarm names the layer",
    said["dead experts"])
  ok(said["router collapse"]:find("dec 1: 1 of 4", 1, true), "another one",
    said["router collapse"])
  r = run(make(MIX), {paused = true})
  r.layers[3].experts[2]:disable()
  local journal = r:journal()
  is(journal[#journal].text, "dec 1 expert 2 disabled", "the journal, too")
  r.layers["dec 1"].experts[3]:clone(2, {noise = 0.1})
  journal = r:journal()
  is(journal[#journal].text, "clone dec 1 3->2, noise 0.1", "of a verb, too")
  r.layers[3].experts[4]:disable()
  refuses(function() r.layers[3].experts[1]:disable() end, "what is refused, too",
    "disable: 1 of 4 experts would remain in dec 1, a token needs 2")
  is(tostring(r.layers[3].router), "router of dec 1 of run " .. r.name .. ": learns",
    "and its router")
  r:stop()
end

-- ---- FLOPs ----

-- A run's FLOPs (mfu, the charts' axis) are its tokens, of both sides, times those of a token: of a
-- full batch what its weights need, by hand.
do
  local m, C, S = make {}, 16, 40
  local T = m.cfg.context
  local r = run(m, {steps = 2})
  local F = m.cfg.ffn_dim
  local layer = 4 * C * C + 3 * C * F
  local inputs = 2 * layer + 2 * 2 * C * C -- keys and values of attention to the memory, too
  local outputs = 2 * (layer + 2 * C * C) + m.cfg.vocab * C
  local scores = 12 * 2 * C * (S * S + S * T) + 6 * 2 * C * T * T
  local row = 6 * (inputs * S + outputs * T) + scores
  near(r.tokens * m:count().flops_per_token / (2 * 4 * row), 1, 1e-6,
    "FLOPs of two steps, by hand")
  near(r:history("tokens"):table()[1][2], 4 * (S + T), 0, "tokens of a full batch")
end

for _, name in ipairs {"zero_experts", "relu", "softmax"} do
  local m = model.moe {layers = 1, dim = 16, heads = 2, context = 8, vocab = tok, experts = 4,
    expert_dim = 8, router = name}
  local r = run(m, {objective = "next", steps = 2})
  local known = name == "softmax"
  is(r.mfu ~= nil, known, "mfu of router " .. name)
  is(m:count().varies, not known or nil, "varies of " .. name)
end

-- ---- on disk ----

do
  local m = make(MIX)
  run(m)
  local path = t.scratch "model"
  assert(m:save(path))
  local n = assert(model.load(path))
  local a, b = m:_decode("the fox", {tokens = 10})[1], n:_decode("the fox", {tokens = 10})[1]
  is(table.concat(b.ids, " "), table.concat(a.ids, " "), "a loaded model writes the same")
  is(b.score, a.score, "to the bit")
  is(n.layers[3].label, "dec 1", "its layers are called the same")
end

-- ---- routers that see the future: in an encoder nothing is ahead ----

is(run(make {experts = 4, moe_layers = {1, 2}, router = "expert_choice"}).state, "done",
  "expert choice in the encoder")
refuses(function() run(make {experts = 4, moe_layers = {3}, router = "expert_choice"}) end,
  "expert choice in the decoder", "expert_choice")

-- ---- another router in the encoder ----

do
  local o = with(MIX, {router = "gshard", top_k = 2, balance = {aux = 0.02},
    encoder_router = {"expert_choice", scope = "micro"}, encoder_capacity = false})
  o.capacity = {train = 1, group = 4 * 10} -- tokens of the decoder; the encoder has 40 a row
  local m = make(o)
  is(m.cfg.encoder_router.name .. " " .. m.cfg.router, "expert_choice gshard", "it is kept")
  is(m.cfg.context, 10, "groups divide the decoder's tokens")
  local r = run(m, {save = true, name = "two-routers", paused = true})
  r:steps(8):wait()
  near(r.layers[1].load:max():item(), 1, 1e-6, "experts of the encoder choose, all as much")
  ok(r.layers[3].load:max():item() > 1, "those of the decoder are chosen")
  ok(pcall(r.history, r, "drop.3") and not pcall(r.history, r, "drop.1"),
    "a capacity in the decoder alone")
  r.capacity = 2
  r:steps(1):wait()
  ok(not pcall(r.history, r, "drop.1"), "r.capacity leaves the encoder's as it is")
  r:resume():wait()
  local want_hash = r:hash()
  r:close()
  ok(replay "two-routers", "replayed")
  ok(m:_decode("the fox", {tokens = 4})[1], "it writes")
  is(run(make(with(MIX, {encoder_router = "softmax"})), {steps = 2}):hash(),
    run(make(MIX), {steps = 2}):hash(), "the same router by its name")
end
do -- a coefficient has one value: where the routers' own are two it has to be said
  local says = ": a coefficient has one value in both stacks, which balance = {%s = ...} says"
  refuses(function() make(with(MIX, {encoder_router = "st_moe"})) end, "two defaults",
    "model.encdec: balance: router 'softmax' has aux = 0.01, encoder_router 'st_moe' aux = 0.02"
    .. says:format "aux")
  refuses(function() make(with(MIX, {router = "gshard", encoder_router = "softmax"})) end,
    "two of them, one of which is none", "router 'gshard' has scope = group, z = 0, "
    .. "encoder_router 'softmax' scope = none, z = 0.001" .. says:format "scope")
  refuses(function() make(with(MIX, {encoder_router = "mixtral"})) end, "one of a mean",
    "encoder_router 'mixtral' aux = 0.002/layers, z = 0")
  refuses(function() make(with(MIX, {router = "olmoe", encoder_router = "softmax"})) end,
    "one of a mean beside one of a sum", "router 'olmoe' has aux = 0.01/layers, encoder_router "
    .. "'softmax' aux = 0.01" .. says:format "aux")
  local m = make(with(MIX, {encoder_router = "st_moe", balance = {aux = 0.5}}))
  is(m.inputs.aux:item(), 0.5, "given it holds in both")
  ok(make(m.cfg), "as in what is made of its cfg")
  local path = t.scratch "two-defaults"
  assert(m:save(path))
  is(assert(model.load(path)).inputs.aux:item(), 0.5, "and in what was saved")
  m = make(with(MIX, {encoder_router = "deepseek_v3", balance = {aux = 0, z = 0}}))
  t.near(m.inputs.sequence:item(), 1e-4, 1e-9, "what the encoder's router alone has holds there")
end
refuses(function() make {experts = 4, moe_layers = {3}, encoder_router = "expert_choice"} end,
  "no mixture in the encoder", "encoder_router has no effect: no layer of the encoder")
refuses(function() make {experts = 4, encoder_router = "expert_choice", encoder_capacity = 2} end,
  "a capacity that the encoder's router has not", "capacity has no effect")
refuses(function() make {experts = 4, encoder_router = "nobody"} end, "no such router", "nobody")
refuses(function() make {encoder_router = "switch"} end, "without experts", "without experts")

-- ---- refused ----

refuses(function() run(make {}, {objective = "next"}) end, "what the objective does not make",
  "inputs")
t.done()
