-- Distillation: the loss and its gradient in double, distill = 0, live changes, resume, rewind,
-- fork, replay, and what is refused.  TAP.

local engine = require "switchyard.engine"
local teacher = require "switchyard.run.teacher"
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is, near, refuses, with = t.ok, t.is, t.near, t.refuses, t.with

local d = data.synthetic {domains = 4, tokens = 20000, seed = 1}
local V = d.vocab
local SHAPE = {layers = 2, dim = 16, heads = 2, context = 16, vocab = V}

local function student(more) return model.dense(with(SHAPE, {ffn_dim = 24, seed = 3}, more)) end
local function mixture(more)
  return model.moe(with(SHAPE, {experts = 4, top_k = 1, expert_dim = 24, router = "switch"}, more))
end

local TRAIN = {steps = 12, batch = 4, lr = 5e-3, warmup = 2, eval_every = 6, eval_batches = 1,
               checkpoint_every = 5, save = false}
local function run(m, more, f) return small.run(m, d, with(TRAIN, more), f) end

local m = mixture()
run(m, {steps = 60, lr = 1e-2}):close()

-- ---- the loss, in double ----

-- Of rows of logits a (what learns) and b: the mean cross entropy, and its gradient in a.
local function reference(a, b, T)
  local sum, grad = 0, {}
  for i = 1, #a do
    local function softmax(z)
      local most, all, p = -math.huge, 0, {}
      for v = 1, #z do most = math.max(most, z[v] / T) end
      for v = 1, #z do p[v] = math.exp(z[v] / T - most) all = all + p[v] end
      for v = 1, #z do p[v] = p[v] / all end
      return p
    end
    local p, q = softmax(b[i]), softmax(a[i])
    grad[i] = {}
    for v = 1, #p do
      sum = sum - p[v] * math.log(q[v])
      grad[i][v] = (q[v] - p[v]) / T / #a
    end
  end
  return sum / #a, grad
end

for _, T in ipairs {1, 2.5} do
  local a, b = tensor.rand(3, 5, {seed = 1}) * 6 - 3, tensor.rand(3, 5, {seed = 2}) * 6 - 3
  local x = a:clone():grad(true)
  local loss = teacher.cross_entropy(x, b, T):mean()
  loss:backward()
  local want, grad = reference(a:table(), b:table(), T)
  near(loss:item(), want, 1e-5, ("temperature %g: the loss"):format(T))
  local worst, got = 0, x.grad:table()
  for i = 1, 3 do
    for v = 1, 5 do worst = math.max(worst, math.abs(got[i][v] - grad[i][v])) end
  end
  ok(worst < 1e-6, ("temperature %g: its gradient"):format(T), worst)
  ok(tensor.gradcheck(function(z) return teacher.cross_entropy(z, b:cast "f64", T) end, {a}) < 1e-6,
    "... by differences")
end

-- One step of plain gradient descent moves the parameters by lr times the gradient of
-- (1 - distill) hard + distill t^2 soft: that of the parts is known from distill = 0 and 1.
local function moved(more)
  local s = student()
  local before = s.params["lm_head.weight"]:detach():clone()
  run(s, with({steps = 1, optimizer = "sgd", momentum = 0, lr = 1, warmup = 0, clip = 0,
               schedule = "constant", weight_decay = 0}, more)):close()
  return s.params["lm_head.weight"]:detach() - before
end
do
  local hard, soft = moved {teacher = m, distill = 0}, moved {teacher = m, distill = 1}
  local half = moved {teacher = m, distill = 0.25}
  ok((half - hard * 0.75 - soft * 0.25):abs():max():item() < 1e-6, "shares of the two losses")
  ok((hard - soft):abs():max():item() > 1e-4, "which are two")
  ok((moved {} - hard):abs():max():item() == 0, "distill = 0 is the data's alone")
end
ok(moved({teacher = student(), distill = 1}):abs():max():item() < 1e-6,
  "of a model like itself nothing is learned")
do -- what a step shows is the reference's, of the logits of both
  local s, sum, T = student(), 0, 2
  for row = 0, 1 do
    local ids = d:ids(16 * row + 1, 16)
    sum = sum + reference(s:logits(ids):table(), m:logits(ids):table(), T) / 2
  end
  local r = run(s, {teacher = m, distill_temperature = T, steps = 1, batch = 2,
                    sampling = "sequential"})
  near(r:history("distill_loss")[1][2]:item(), sum, 1e-4, "distill_loss is that of both's logits")
  is(r.distill_temperature, 2, "the temperature is a field")
end

do -- temperature^2: with w' = w - lr t^2 g the loss falls by |w' - w|^2 / (lr t^2)
  local T, lr, s, rows = 2, 0.02, student(), {}
  local function loss()
    local sum = 0
    for i, ids in ipairs(rows) do
      sum = sum + reference(s:logits(ids):table(), m:logits(ids):table(), T) / #rows
    end
    return sum
  end
  for row = 0, 1 do rows[row + 1] = d:ids(16 * row + 1, 16) end
  local first, before, far = loss(), {}, 0
  for i, p in ipairs(s.params) do before[i] = p:detach():clone() end
  run(s, {teacher = m, distill = 1, distill_temperature = T, steps = 1, batch = 2, lr = lr,
          optimizer = "sgd", momentum = 0, nesterov = false, warmup = 0, clip = 0,
          weight_decay = 0, schedule = "constant", sampling = "sequential"}):close()
  for i, p in ipairs(s.params) do
    far = far + (p:detach() - before[i]):cast("f64"):square():sum():item()
  end
  near((first - loss()) * lr * T ^ 2 / far, 1, 0.1, "soft losses count temperature^2")
end

do -- targets of a step count alike, however many its micro-batches have
  local tok, line = tokenizer.bytes {pad = true}, ""
  for i = 1, 5 do line = line .. ("de\tdie %%w %d\tthe %s\n"):format(i, ("so %w "):rep(i)) end
  local p = assert(data.pairs(small.pair_file("distill.tsv", 8, line),
    {to = "en", val = 0.1, tokenizer = tok}))
  local shape = with(SHAPE, {vocab = tok, context = 48, layers = 1})
  local taught_by = model.moe(with(shape, {experts = 2, top_k = 1, expert_dim = 16, seed = 5,
                                           documents = true}))
  local function after(batch, accumulate)
    local s = model.dense(with(shape, {ffn_dim = 16}))
    train(s, p, {teacher = taught_by, distill = 1, steps = 2, batch = batch,
      accumulate = accumulate, optimizer = "sgd", momentum = 0, nesterov = false, lr = 1,
      warmup = 0, clip = 0, weight_decay = 0, schedule = "constant", eval_every = 0,
      save = false}):wait():close()
    return s
  end
  local a, b, worst = after(8, 1), after(1, 8), 0
  for i, x in ipairs(a.params) do worst = math.max(worst, t.furthest(x, b.params[i])) end
  ok(worst < 1e-6, "eight micro-batches of pairs are one batch", worst)
end

-- ---- the series, and what is shown ----

do
  local r = run(student(), {teacher = m, distill = 0.25})
  is(r:history("distill_loss").shape[1], 12, "distill_loss is a series")
  near(r:eval(1), r.model:loss(d, {batches = 1}), 1e-5, "the validation loss is the cross entropy")
  is(r.distill, 0.25, "r.distill")
  is(r.teacher.family, "moe", "r.teacher")
  ok(not rawequal(r.teacher, m), "is a copy")
  local shown = ("teacher  model.moe, %.2f M parameters, hash %%x+; distill 0.25, loss %.3f\n")
    :format(m:count().total / 1e6, r:history("distill_loss")[12][2]:item())
  ok(tostring(r):find(shown), "print(r) names the teacher", tostring(r))
  r:close()
  ok(not tostring(run(student())):find "teacher", "of which a run without one says nothing")
end

-- ---- bits ----

local function bits(more) return run(student(), more):hash() end
local plain = bits()
is(bits {teacher = m, distill = 0}, plain, "distill = 0: the bits of no teacher")
for what, o in t.sorted {
  bf16 = {precision = "bf16"}, smoothed = {label_smoothing = 0.1, z_loss = 1e-3},
  accumulated = {accumulate = 2}, adafactor = {optimizer = "adafactor"},
} do
  is(bits(with(o, {teacher = m, distill = 0})), bits(o), "... " .. what)
end
local want = bits {teacher = m, distill = 0.25}
ok(want ~= plain, "distill = 0.25 is something else")
is(bits {teacher = m}, want, "and the default")
is(bits {teacher = m, recompute = true}, want, "recomputed")
is(bits {teacher = m, eval_every = 0}, want, "evaluations change nothing")
ok(bits {teacher = m, precision = "bf16"} ~= want, "bf16")
do
  local one = run(student(), {teacher = m, batch = 8, steps = 4, lr = 1e-3, sampling = "epoch"})
  local two = run(student(), {teacher = m, batch = 4, accumulate = 2, steps = 4, lr = 1e-3,
                              sampling = "epoch"})
  near(one:history("distill_loss")[4][2]:item(), two:history("distill_loss")[4][2]:item(), 1e-4,
    "two micro-batches are one batch")
end
do -- dropout's draws stay where they are
  local s = {dropout = 0.2}
  is(run(student(s), {teacher = m, distill = 0}):hash(), run(student(s)):hash(), "with dropout too")
end

-- Label smoothing and z loss hold after a new plan.
do
  local o = {label_smoothing = 0.2, z_loss = 1e-3, steps = 8}
  local function batch_4_at(at)
    return function(r, step) if step == at then r.batch = 4 end end
  end
  local r = run(student(), o, batch_4_at(4))
  local whole = run(student(), o)
  is(r:hash(), whole:hash(), "batch = 4 again, planned anew")
  local changed = run(student(), with(o, {batch = 2}), batch_4_at(1))
  local without = run(student(), {steps = 8, batch = 2}, batch_4_at(1))
  ok(changed:hash() ~= without:hash(), "smoothing")
end

do -- series grow at 64 rows and at 128
  local r, at = run(student(), {teacher = m, steps = 125, paused = true, eval_every = 0}), {}
  every(r, 10, function(self) at[self.step] = tensor.memory().allocations end)
  r:resume():wait()
  is(at[120] - at[70], 0, "50 steps allocate nothing")
end

-- ---- stored runs ----

do
  local late = mixture {seed = 5}
  run(late, {steps = 20}):close()
  local live = {steps = 14}
  local changed
  local r = run(student(), with(live, {teacher = late, save = true, name = "taught"}),
    function(self, step)
      if step == 4 and not changed then changed, self.distill = true, 0.6 end
    end)
  local last = r:hash()
  local journal = r:journal()
  ok(journal[#journal].kind == "set" and journal[#journal].key == "distill", "r.distill: journal")
  run(late, {steps = 5}):close() -- the original learns on: the copy does not
  local again = tostring(replay "taught")
  ok(again:find "identical through step 14", "replayed", again)
  r:rewind(7)
  r:resume():wait()
  is(r:hash(), last, "rewound")
  local f = r:fork {step = 9, name = "taught-fork"}
  f:wait()
  is(f:hash(), last, "forked")
  f:close()
  local dir = r.dir
  r:close()
  r = train.resume("taught", {steps = 20})
  r:wait()
  is(r.distill, 0.6, "resumed")
  ok(r:history("distill_loss").shape[1] >= 19, "and taught")
  is(r.teacher.family, "moe", "by its own teacher")
  r:close()
  local other = mixture {seed = 6}
  os.execute(("rm -rf '%s/teacher'"):format(dir))
  refuses(function() train.resume("taught", {steps = 21}) end, "without its teacher", "teacher")
  assert(other:save(dir .. "/teacher"))
  refuses(function() train.resume("taught", {steps = 21}) end, "with another", "changed", "hash")
end

-- ---- encoder-decoders ----

local tok = tokenizer.bytes {sentinels = 20}
local text = small.words(4000, tok)
local PAIR = {layers = 2, decoder_layers = 2, dim = 16, heads = 2, input_context = 40, vocab = tok,
              version = "1.0"}
local SPAN = with(TRAIN, {objective = "span", steps = 8, optimizer = "adafactor", lr = 1e-2})
local function switch(more)
  return model.encdec(with(PAIR, {experts = 4, router = "switch", init = {"truncated", 0.1}}, more))
end

do
  local big, small = switch(), model.encdec(PAIR)
  train(big, text, SPAN):wait():close()
  small:copy_from(big)
  local r = train(small, text, with(SPAN, {teacher = big, distill = 0.25}))
  r:wait()
  is(r.state, "done", "a mixture teaches a dense model of two stacks")
  ok(r:history("distill_loss")[8][2]:item() > 0, "by spans")
end

-- ---- refused ----

local function fails(more, what, ...)
  refuses(function() run(student(), more) end, what, ...)
end
fails({distill = 0.5}, "no teacher", "distill has no effect without a teacher")
fails({distill_temperature = 2}, "a temperature without", "distill_temperature has no effect")
fails({teacher = 5}, "no model", "teacher must be a model, got number")
fails({teacher = m, distill = 1.5}, "a share", "distill", "1.5")
fails({teacher = mixture {vocab = V + 1}}, "another vocab", tostring(V), tostring(V + 1))
fails({teacher = mixture {context = 8}}, "a short one", "context is 16", "teacher's 8")
fails({teacher = switch {vocab = V}}, "an encoder", "has an encoder")
do
  local theirs = tokenizer.bytes {sentinels = 20, fim = true}
  local other = model.encdec(with(PAIR, {vocab = theirs}))
  refuses(function() train(model.encdec(PAIR), text, with(SPAN, {teacher = other})) end,
    "another vocabulary", "vocab is " .. theirs.size, tostring(tok.size))
  local function with_special(name) return tokenizer.bytes {sentinels = 20, special = {name}} end
  local a, b = with_special "<a>", with_special "<b>"
  refuses(function()
    train(model.encdec(with(PAIR, {vocab = a})), data.string(("a fox "):rep(2000), {tokenizer = a}),
      with(SPAN, {teacher = model.encdec(with(PAIR, {vocab = b}))}))
  end, "another tokenizer of as many ids", a.hash, b.hash)
  refuses(function()
    train(model.encdec(with(PAIR, {input_context = 60})), text,
      with(SPAN, {teacher = switch {context = 40}}))
  end, "longer inputs", "input_context is 60", "40")
end
do -- what both see of a row
  local function decoder(more) return model.dense(with(SHAPE, {vocab = tok}, more)) end
  local function learns(s, by, teaches)
    return train(s, text, with(TRAIN, {objective = by, teacher = teaches, steps = 4})):wait()
  end
  local causal, whole = decoder(), decoder()
  learns(causal, "next"):close()
  learns(whole, "prefix"):close()
  for _, by in ipairs {"prefix", "span"} do
    local s = decoder()
    refuses(function() learns(s, by, causal) end, "a teacher that does not see a prefix: " .. by,
      "the model sees a prefix whole, the teacher does not",
      "prefix is false of the teacher, true of the model")
    is(s.cfg.prefix, nil, "and the model is what it was")
    local r = learns(s, by, whole)
    is(r.state, "done", "one that does")
    r:close()
    learns(decoder {prefix = false}, by, causal):close()
  end
  refuses(function() learns(decoder {prefix = false}, "prefix", whole) end, "the other way round",
    "the teacher sees a prefix whole, the model does not")
  refuses(function() learns(decoder {documents = true}, "next", causal) end, "documents",
    "the model sees its own document alone, the teacher does not")
end
do
  local r = run(student(), {paused = true})
  refuses(function() r.distill = 0.5 end, "a run without", "distill has no effect")
  refuses(function() r.teacher = m end, "while it runs", "fixed for the run")
  r:close()
end

t.done()
