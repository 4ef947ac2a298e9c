-- What every router must be in model.encdec, whose stacks are of other lengths: token by token is
-- the whole text, padding beside a text changes none of its bits, one expert alone is the dense
-- layer, micro-batches of a step are one batch, computed again it is the same.  It walks through
-- routers(); what is not so a router's file says (except).  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local cases = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/identity_cases.lua")
local engine = require "switchyard.engine"
local ok, is, with, scatter = t.ok, t.is, t.with, cases.scatter

local tok = tokenizer.bytes {sentinels = 8}
local d = small.words(2000, tok)

local DENSE = {layers = 2, decoder_layers = 2, dim = 16, heads = 2, ffn_dim = 8, vocab = tok,
               input_context = 16, context = 16, seed = 3} -- equal: no length tells the sides
local MOE = with(DENSE, {experts = cases.E, expert_dim = 8})
local INPUTS, PADS = {}, 5
for i = 1, 11 do INPUTS[i] = i * i * 5 % 250 end

-- What sees later tokens stands in the encoder alone.
local function family(o)
  local see = o.router.allow_leak
  o.router.allow_leak = nil
  o = with(o, see and {moe_layers = {1, 2}} or {moe_every = 1})
  return model.encdec(o)
end

-- Logits of the decoder's whole text, after inputs and `pads` tokens of padding.
local function whole(m, tokens, pads)
  local S, ids, documents = #INPUTS + (pads or 0), {}, {}
  for i = 1, S do ids[i], documents[i] = INPUTS[i] or i % 7, INPUTS[i] and 0 or -1 end
  return small.logits(m, {tokens = tokens, inputs = ids, input_documents = documents})
end

local TOKENS = {0, 7, 3, 3, 9, 120, 64, 2}

local function try_decode(case, m)
  local what = case.name .. ": token by token, the bits of the whole text"
  local found = m:_decode(INPUTS, {tokens = 16, temperature = 1, seed = 3, start = 0,
                                   stop = false})[1]
  local logits = whole(m, {0, table.unpack(found.ids, 1, 15)}, PADS)
    :narrow(2, 1, tok.size):contiguous()
  local sum = 0
  for i, id in ipairs(found.ids) do sum = sum + logits[i]:log_softmax()[id + 1]:item() end
  if not case.except.decode then return is(found.score, sum, what) end
  ok(found.score ~= sum, what .. ": not so, " .. case.except.decode)
end

-- What is drawn by lot is another where there are more tokens.
local function try_padding(case, m)
  if case.except.decode then return end
  is(whole(m, TOKENS, PADS):hash(), whole(m, TOKENS):hash(),
    case.name .. ": padding beside the inputs changes no bit")
end

local function try_one(case)
  local what = case.name .. ": one expert is the dense layer"
  local good, one = pcall(case.make, {experts = 1, top_k = 1, balance = cases.silent(case.router)})
  if not good then return ok(case.except.one, what, one) end
  local dense = model.encdec(with(DENSE, {activation = "silu"}))
  for i, info in ipairs(dense._info) do
    local p = rawget(one.params, (info.name:gsub("mlp%.(%w+_proj)", "mlp.experts.%1")))
      or one.params[info.name]
    engine.copy(p, dense.params[i]:view(table.unpack(p.shape)))
  end
  local same = whole(scatter(one), TOKENS):hash() == whole(dense, TOKENS):hash()
  if case.except.one then return ok(not same, what .. ": not so, " .. case.except.one) end
  ok(same, what)
end

local SGD = {objective = "span", steps = 2, optimizer = "sgd", momentum = 0, nesterov = false,
             lr = 0.01, warmup = 0, schedule = "constant", weight_decay = 0, clip = 0,
             sampling = "epoch", eval_every = 0, save = false}

local function after(case, batch, accumulate)
  local scope = cases.has_coefficient(case.router, "scope") and "step" or nil
  local m = scatter(case.make({balance = {scope = scope}}, true))
  train(m, d, with(SGD, {batch = batch, accumulate = accumulate})):wait():close()
  return m
end

local function try_step(case)
  local what = case.name .. ": four micro-batches are one batch"
  local a, b, worst = after(case, 16, 1), after(case, 4, 4), 0
  for i in ipairs(a._info) do
    local x = a.params[i]:detach()
    worst = math.max(worst, t.furthest(x, b.params[i]) / math.max(x:abs():max():item(), 0.1))
  end
  local states = true
  for name, state in pairs(a.states) do
    states = states and b.states[name]:hash() == state:hash()
  end
  local same = worst < 2e-6 and states
  if not case.except.step then return ok(same, what, worst) end
  ok(not same, what .. ": not so, " .. case.except.step, worst)
end

local function try_again(case)
  local function bits(more)
    local r = train(case.make(), d, with({objective = "span", steps = 2, batch = 2, warmup = 0,
      eval_every = 1, eval_batches = 1, save = false}, more)):wait()
    local hash = r:hash() .. r:history("val_loss"):hash()
    r:close()
    return hash
  end
  local first = bits()
  is(bits {recompute = true}, first, case.name .. ": computed again, the same bits")
end

for _, case in ipairs(cases.all(family, MOE)) do
  if ok(case.K, case.name .. ": can be tried", case.why) then
    local m = scatter(case.make())
    try_decode(case, m)
    try_padding(case, m)
    try_one(case)
    try_step(case)
    try_again(case)
  end
end

t.done()
