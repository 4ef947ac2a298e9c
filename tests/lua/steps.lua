-- nn.step: the number of the step that is computed, in training and elsewhere, and the same in all
-- ways to come to a step.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local ok, is = t.ok, t.is

local T = 8
local d = data.synthetic {domains = 2, tokens = 4000, seed = 1}
local V = d.vocab

-- Logits of token 1 are the step's number; the gradient of w is that, too.
model.define("clock", function(cfg)
  return function(ids)
    local N = ids.shape[1] * ids.shape[2]
    local w = nn.param("w", {cfg.vocab}, "zeros")
    local step = nn.step()
    nn.observe("now", step)
    nn.observe("twice", nn.step() * 2)
    local one = {}
    for v = 1, cfg.vocab do one[v] = v == 1 and 1 or 0 end
    local row = tensor(one) * step + w * step
    return row:view(1, cfg.vocab):expand({N, cfg.vocab}):contiguous()
  end
end)

local function clock() return model.clock {vocab = V, layers = 1, context = T} end
local TRAIN = {steps = 6, batch = 2, warmup = 0, lr = 1e-3, eval_every = 2, checkpoint_every = 2,
               keep = 10}

local function series(r, name)
  local out = {}
  for i, row in ipairs(r:history(name):table()) do out[i] = ("%g"):format(row[2]) end
  return table.concat(out, " ")
end

-- ---- what it is ----

for _, accumulate in ipairs {1, 3} do
  local m = clock()
  is(m:logits {0, 1}[1][1]:item(), 0, "0 before there is a run")
  local r = train(m, d, {steps = 6, batch = 2, accumulate = accumulate, lr = 1e-30, eval_every = 2,
                         weight_decay = 0, save = false}):wait()
  is(series(r, "now"), "1 2 3 4 5 6", "of each step, accumulate " .. accumulate)
  is(series(r, "twice"), "2 4 6 8 10 12", "as often as it is asked for")
  is(m:logits {0, 1}[1][1]:item(), 6, "elsewhere the steps done")
  local function evaluated(step) -- of a text whose windows have c ones among n
    local share = 0
    for _, row in ipairs(r:history("val_loss"):table()) do
      if row[1] == step then share = row[2] end
    end
    return share
  end
  -- loss(step) = logsumexp - step * share of token 0: two evaluations give the share
  local function log_sum(s) return math.log(math.exp(s) + V - 1) end
  local share = (log_sum(2) - evaluated(2)) / 2
  ok(math.abs(evaluated(6) - (log_sum(6) - 6 * share)) < 1e-4, "an evaluation: the steps done",
    ("%g"):format(evaluated(6)))
  r:close()
  is(m:logits {0, 1}[1][1]:item(), 6, "also when the run was closed")
  local folder = t.scratch "model"
  assert(m:save(folder))
  is(assert(model.load(folder)):logits {0, 1}[1][1]:item(), 6, "and in another program")
end

-- ---- the same however one comes there ----

local function run(name, more)
  return train(clock(), d, t.with({name = name}, TRAIN, more))
end

do
  local whole = run "clock-whole":wait()
  local hash, losses = whole:hash(), whole:history("loss"):hash()
  whole:rewind(3)
  whole:resume()
  whole:wait()
  is(whole:hash() .. whole:history("loss"):hash(), hash .. losses, "rewind")
  local fork = whole:fork {step = 3, name = "clock-fork"}:wait()
  is(fork:hash(), hash, "fork")
  fork:close()
  whole:close()
  local again = replay "clock-whole"
  is(again.identical, true, "replay: " .. tostring(again.text))
  local part = run("clock-part", {steps = 3}):wait()
  part:close()
  part = assert(train.resume("clock-part", {steps = 6}))
  part:resume()
  part:wait()
  is(series(part, "now"), "1 2 3 4 5 6", "resume")
  part:close()
end

-- ---- an input of this name is the user's ----

model.define("named", function(cfg)
  return function(ids)
    local w = nn.param("w", {cfg.vocab, 4}) * nn.input("step", 1)
    return nn.head(nn.embedding(ids, w), w)
  end
end)
do
  local r = train(model.named {vocab = V, layers = 1, context = T}, d,
    {steps = 2, batch = 2, eval_every = 0, save = false}):wait()
  is(r.model.inputs.step:item(), 1, "a model's input may be called step")
  r:close()
end
t.raises(function() nn.step() end, "only inside a model's function")

t.done()
