-- The order of the data: windows are counted, so each is seen once a pass whatever is changed
-- meanwhile, and r:why tells which they were.  TAP.  Runs go to the folder that tests/scratch.sh
-- made.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is = t.ok, t.is
local engine = require "switchyard.engine"
local directory = require "switchyard.run.directory"

local T, W = 8, 48
local letters = {}
for w = 0, W - 1 do letters[w + 1] = string.char(48 + w):rep(T) end
local d = data.string(table.concat(letters) .. "~", {val = 0})

-- The counts of a text's windows are its embedding's alone: the loss of a step says which they
-- were.
local function make(more)
  return model.dense(t.with({layers = 1, dim = 16, heads = 2, context = 64, vocab = 256,
                             ffn_dim = 16}, more))
end

local function run(given, f, m, text)
  return small.run(m or make(), text or d, t.with({steps = 12, batch = 4, context = T,
    eval_every = 0, lr = 1e-4, weight_decay = 0, save = false}, given), f)
end

-- Times that each token of the text was an input, over the steps first .. last.
local function seen(r, first, last)
  local times = {}
  for step = first, last do
    local rows = r._h:rows(step)
    for _, row in ipairs(rows) do
      for i = row.start, row.start + row.tokens - 1 do times[i] = (times[i] or 0) + 1 end
    end
  end
  return times
end

-- "3 x 1, 2 x 2": how many tokens were seen how often.
local function summary(times)
  local many, list = {}, {}
  for _, n in pairs(times) do many[n] = (many[n] or 0) + 1 end
  for n, count in pairs(many) do list[#list + 1] = ("%d x %d"):format(count, n) end
  table.sort(list)
  return table.concat(list, ", ")
end

local function starts(r, first, last)
  local list = {}
  for step = first, last do
    for _, row in ipairs(r._h:rows(step)) do list[#list + 1] = row.start end
  end
  return table.concat(list, " ")
end

-- ---- one pass ----

for _, sampling in ipairs{"epoch", "sequential"} do
  local r = run{sampling = sampling}
  is(summary(seen(r, 1, 12)), "384 x 1", sampling .. ": every token once in a pass")
  if sampling == "sequential" then is(starts(r, 1, 1), "0 8 16 24", "in order, from the first") end
  r:close()
  r = run({sampling = sampling, steps = 11}, function(self, step) -- 4 4 6 6 6 6 6 2 2 2 4
    if step == 2 then self.batch = 3 self.accumulate = 2 end
    if step == 7 then self.batch = 2 self.accumulate = 1 end
    if step == 10 then self.batch = 4 end
  end)
  is(summary(seen(r, 1, 11)), "384 x 1", "also when batch and accumulate change")
  r:close()
  r = run({sampling = sampling, steps = 24, batch = 4})
  is(summary(seen(r, 1, 24)), "384 x 2", "twice in two")
  r:close()
end

-- ---- another context ----

do
  local function change(self, step)
    if step == 3 then self.context = 20 end
    if step == 5 then self.context = 4 self.batch = 5 end
    if step == 7 then self.context = T end
  end
  -- 72 + 120 + 40 + 80 tokens
  local r = run({sampling = "sequential", steps = 9, batch = 3}, change)
  is(summary(seen(r, 1, 9)), "312 x 1",
    "sequential: no token twice, none left out when the context changes")
  is(starts(r, 4, 4), "72 92 112", "it goes on where it was")
  r:close()
  r = run({sampling = "epoch", steps = 15, batch = 3}, function(self, step)
    if step == 3 then self.context = 2 * T end -- 24 windows, 3 a step
  end)
  is(summary(seen(r, 4, 11)), "384 x 1", "epoch: another context begins a whole one")
  local said = {}
  for _, e in ipairs(r:journal()) do said[#said + 1] = e.text end
  is(table.concat(said, "; "), "context = 16: a new epoch begins", "and says so")
  r:close()
end

-- ---- random ----

do
  local text = data.synthetic{domains = 2, tokens = 50000, seed = 1}
  local m = make{vocab = text.vocab}
  local one = run({batch = 12, steps = 4}, nil, m, text)
  local want = starts(one, 1, 4)
  one:close()
  local cut = run({batch = 3, accumulate = 4, steps = 4}, nil, m, text)
  is(starts(cut, 1, 4), want, "random: 4 micro-batches of 3 are a batch of 12")
  cut:close()
  local changed = run({batch = 12, steps = 10}, function(self, step)
    if step == 1 then self.batch = 4 end -- 12 4 4 4 ...
  end, m, text)
  is(starts(changed, 1, 10), want, "and a smaller batch sees the same windows, later")
  local times = {}
  for at in want:gmatch "%d+" do times[at] = (times[at] or 0) + 1 end
  is(next(times) and math.max(table.unpack((function()
    local list = {}
    for _, n in pairs(times) do list[#list + 1] = n end
    return list
  end)())), 1, "of which none repeats")
  changed:close()
end

-- ---- what is told is what was trained on ----

-- Losses of all steps against those of the windows that r:why names; the parameters stand still.
local function truth(r, what)
  local history, m, worst = r:history("loss"):table(), r.model, 0
  for _, row in ipairs(history) do
    local step = math.tointeger(row[1])
    local list, sum = r._h:rows(step), 0
    for _, s in ipairs(list) do sum = sum + m:loss(r._h:row_ids(s.start, s.tokens + 1)) end
    worst = math.max(worst, math.abs(row[2] - sum / #list))
  end
  ok(worst < 2e-5, what, ("%d steps, off by %.3g"):format(#history, worst))
end

local function shapes(self, step)
  if step == 3 then self.batch = 2 end
  if step == 5 then self.context = 16 self.accumulate = 3 end
  if step == 8 then self.batch = 5 self.accumulate = 1 self.context = 10 end
end

for _, sampling in ipairs{"random", "epoch", "sequential"} do
  local name = "told-" .. sampling
  local r = run({sampling = sampling, steps = 20, lr = 0, save = true, name = name,
                 checkpoint_every = 6}, shapes)
  truth(r, sampling .. ": r:why names the windows that were trained on")
  local all, hash = starts(r, 1, 20), r:hash()
  is(engine.read_checkpoint(r:checkpoint()).windows, r._h:windows(21),
    "the place that was kept is that which is derived")
  r:rewind(7):close()
  r = train.resume(name, {paused = true})
  is(r.step, 7, "rewound and resumed")
  every(r, 1, function(self) shapes(self, self.step) end)
  r:resume():wait()
  is(starts(r, 1, 20), all, "the same windows, once more")
  truth(r, "which were trained on")
  local fork = r:fork{step = 6, name = name .. "-fork", paused = true}
  every(fork, 1, function(self) shapes(self, self.step) end)
  fork:resume():wait()
  is(starts(fork, 1, 20) .. fork:hash(), all .. hash, "also in a fork")
  truth(fork, "truly")
  fork:close()
  r:close()
  ok(replay(name).identical, "and its replay is identical", replay(name).text)
end

-- ---- steps that are skipped or left out use their windows up ----

do
  local r = run({sampling = "sequential", steps = 12, skip_sigma = 6, lr = 0}, function(self, step)
    if step == 3 then self._h:apply{kind = "skip", value = 5, text = "step 5 is left out"} end
  end)
  is(r.skipped, 1, "a step is left out")
  is(starts(r, 5, 6), "128 136 144 152 160 168 176 184", "its windows are gone")
  truth(r, "the others are those that are told")
  r:close()
end

-- ---- other data: what was seen before cannot be told ----

do
  local name = t.scratch "text"
  local function write(text) t.write(name, text) end
  write(("to be or not to be "):rep(60))
  local r = run({sampling = "sequential", steps = 6, save = true, name = "data"}, nil, nil,
    data.text(name, {val = 0}))
  is(#r:why(6).sequences, 4, "known")
  r:close()
  write(("that is the question "):rep(60))
  r = train.resume("data", {steps = 9, force = true}):wait()
  local w = r:why(6)
  ok(#w.sequences == 0 and tostring(w):find("not known: the run had other data up to step 6", 1,
    true), "not known any more", tostring(w))
  is(#r:why(7).sequences, 4, "of steps since it is")
  r:close()
  os.remove(name)
end

-- ---- runs from before windows were counted keep their order ----

do
  local trainer, config = engine.trainer, directory.config
  local function as_before(f)
    engine.trainer = function(a, b, c, e, o, ...)
      return trainer(a, b, c, e, setmetatable({by_step = true}, {__index = o}), ...)
    end
    directory.config = function(...)
      local c = config(...)
      c.order = nil
      return c
    end
    f()
    engine.trainer, directory.config = trainer, config
  end
  local r
  as_before(function()
    r = run({sampling = "epoch", steps = 8, lr = 0, save = true, name = "old",
             checkpoint_every = 3}, function(self, step)
      if step == 4 then self.batch = 6 end
    end)
  end)
  ok(not starts(r, 1, 1):find "^0" and summary(seen(r, 1, 8)) ~= "240 x 1", "by step: as it was")
  truth(r, "and told as it was")
  local all = starts(r, 1, 10)
  r:close()
  r = train.resume("old", {steps = 10}):wait()
  is(starts(r, 1, 10), all, "resumed: it goes on by its order")
  truth(r, "truly")
  is(r:rewind(4).step, 4, "rewound")
  r.batch = 6
  r:resume():wait()
  is(starts(r, 1, 10), all, "to the same windows")
  ok(engine.read_checkpoint(r:checkpoint()).windows == nil, "nothing is counted in its checkpoints")
  r:close()
  ok(replay("old").identical, "replayed", replay("old").text)
end

t.done()
