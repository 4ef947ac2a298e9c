-- More or fewer steps than a run was begun with: the learning rate goes on from where it stands,
-- the run says so, and all of it is exact over resume, rewind, fork and replay.  Runs by older
-- rules keep them for what they had done.
local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local folder = engine.runs_dir()
local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function run(name, more, change)
  return small.run(small.moe {vocab = d.vocab}, d, t.with({steps = 40, batch = 2, lr = 1e-3,
    eval_every = 0, checkpoint_every = 15, name = name}, more), change and function(r, step)
      if change[step] then r.steps = change[step] end
    end)
end

-- Rates by step, and whether they rise anywhere behind the warm-up of 4 steps.
local function rates(r)
  local list, rises = {}, false
  for _, row in ipairs(r:history "lr":table()) do
    list[row[1] // 1 | 0] = row[2]
    rises = rises or row[1] > 4 and row[2] > list[row[1] // 1 - 1 | 0] * (1 + 1e-6)
  end
  return list, rises
end

local function last_text(r, kind)
  local text
  for _, e in ipairs(r:journal()) do text = e.kind == kind and e.text or text end
  return text
end

-- ---- a run that was done ----

local r = run "done"
t.near(r.current_lr, 1e-4, 1e-9, "cosine comes to min_lr")
r:close()
r = train.resume("done", {steps = 80}):wait()
local lr, rises = rates(r)
t.ok(r.step == 80 and not rises, "resume with more steps: the rate does not rise again")
t.near(lr[41], 1e-4, 1e-9, "it stays where it was")
t.is(last_text(r, "set"), "steps = 80: lr stays at 0.0001 up to step 80 (cosine)",
  "the journal says so")
local whole = r:hash()
t.ok(replay("done").identical, "its replay is identical")
r:close()

r = run "live" -- the same without leaving
r.steps = 80
t.is(r:resume():wait():hash(), whole, "r.steps is the same, to the bit")
r:rewind(55)
t.is(r:resume():wait():hash(), whole, "rewound behind the change")
local fork = r:fork{step = 50, name = "forked"}:wait()
t.is(fork:hash(), whole, "a fork from behind it")
fork:close()
r:rewind(40):resume():wait()
t.is(r.step, 40, "rewound to before it: it is gone")
r:close()

local said = t.child "resume live --steps 60"
t.ok(said:find("steps = 60: lr stays at 0.0001 up to step 60 (cosine)", 1, true),
  "switchyard resume says it", said)

-- ---- in the middle of each schedule, longer and shorter, once and again ----

for _, schedule in ipairs{"cosine", "linear", "wsd", "constant"} do
  for _, change in ipairs{{[20] = 60}, {[20] = 30}, {[2] = 60}, {[36] = 60, [45] = 50}} do
    local steps = {}
    for step, n in pairs(change) do steps[#steps + 1] = ("%d at %d"):format(n, step) end
    table.sort(steps)
    local name = schedule .. table.concat(steps):gsub(" ", "-")
    r = run(name, {schedule = schedule}, change)
    lr, rises = rates(r)
    local last = lr[r.step]
    t.ok(not rises and math.abs(lr[4] - 1e-3) < 1e-8 and
      math.abs(last - (schedule == "constant" and 1e-3 or 1e-4)) < 1e-8,
      ("%s, steps %s: falls from lr to min_lr"):format(schedule, table.concat(steps, ", ")))
    local hash = r:hash()
    r:rewind(change[36] and 47 or 25)
    r:close()
    t.is(train.resume(name):wait():hash(), hash, "... rewound, closed and resumed: the same")
    t.ok(replay(name).identical, "... and replayed")
    runs(name):close()
  end
end

-- ---- what has no effect says so ----

-- The lines that a piece of code prints of its run.
local function told(code)
  local path = t.write(folder .. "/told.lua", [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local function run(more)
      local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
        experts = 4, top_k = 2, expert_dim = 16}
      local o = {steps = 40, batch = 2, lr = 1e-3, eval_every = 0, save = false, name = "told",
        paused = true}
      for k, v in pairs(more or {}) do o[k] = v end
      return train(m, d, o)
    end
    ]] .. code)
  local text = t.child("'" .. path .. "'")
  return setmetatable({text = text}, {__call = function(_, what, ...)
    for _, line in ipairs{...} do
      t.ok(text:find("[told] " .. line .. "\n", 1, true), what .. ": " .. line, text)
    end
    if not ... then t.ok(not text:find "effect", what, text) end
  end})
end

told[[local r = run{min_lr = 1e-4}:resume():wait()
  r.clip = 2
  r:resume()
  r.steps = 80
  r.lr = 1e-2
  r.decay = 0.5
  r.schedule = "constant"
  r.min_lr = 2e-5]]("behind the end",
  "clip = 2 has no effect yet: the run is done at step 40; r.steps = n and r:resume() go on with "
    .. "it",
  "resume has no effect: the run is done at step 40; set r.steps first",
  'lr = 0.01 has no effect: lr stays at 0.0001 up to step 80 (cosine); r.schedule = "constant" '
  .. 'holds r.lr',
  "decay = 0.5 has no effect: lr stays at 0.0001 up to step 80 (cosine)",
  "min_lr = 2e-05 has no effect: lr stays at 0.01 up to step 80 (constant)")
told[[local r = run():resume():wait()
  r.steps = 80
  r.lr = 2e-3]]("where min_lr is a tenth of lr",
  'lr = 0.002 moves min_lr alone: lr stays at 0.0002 up to step 80 (cosine); r.schedule = '
  .. '"constant" holds r.lr')
told[[local r = run{schedule = "wsd"}
  r:steps(6):wait()
  r.warmup = 3
  r.checkpoint_every = 7]]("on the way",
  "warmup = 3 has no effect: lr stays at 0.001 up to step 32, then falls to 0.0001 at step 40 "
    .. "(wsd)",
  "checkpoint_every = 7 has no effect: the run has no directory (save = false)")
told[[local r = run{lr = 1e6, clip = 0, warmup = 0, max_skips = 1}:resume():wait()
  assert(r.state == "failed")
  r.lr = 1
  r.steps = 50
  r:resume()]]("of a run that failed",
  "lr = 1 has no effect: the run failed at step 3; r:rewind(step), then set it",
  "steps = 50 has no effect: the run failed at step 3; r:rewind(step), then set it",
  "resume has no effect: the run failed at step 3; r:rewind(step) goes back before that")
local once = told[[local r = run{min_lr = 1e-4}:resume():wait()
  r.steps = 80
  every(r, 1, function() r.lr = r.lr * 2 end)
  r:resume():wait()]]
once("of a hook",
  'lr = 0.002 has no effect: lr stays at 0.0001 up to step 80 (cosine); r.schedule = "constant" '
  .. 'holds r.lr')
t.ok(select(2, once.text:gsub("has no effect", "")) == 1, "... once", once.text)
told[[local r = run{schedule = "wsd"}
  every(r, 1, function() r.lr = 1e-3 + r.step * 1e-4 end)
  r:steps(6):wait()
  local changes = "decay=.4 warmup=20 clip=2 lr=1e-2 min_lr=1e-5 batch=4 eval_batches=3"
  for name, value in changes:gmatch "(%S+)=(%S+)" do
    r[name] = tonumber(value)
  end
  r.schedule = "linear"
  r:resume():wait()
  r.eval_batches = 4]]("what has an effect is not spoken of")

-- ---- runs by older rules ----

engine.rules = 1
r = run("old", {schedule = "wsd", decay = 0}, {[20] = 60})
engine.rules = 2
lr = rates(r)
t.ok(math.abs(lr[5] - 1e-4) < 1e-8 and lr[21] == lr[20], "rules 1: wsd with decay 0 falls at once")
r:close()
local was = replay "old"
t.ok(was.identical, "its replay is by its rules: " .. was.text)
r = train.resume("old", {steps = 100}):wait()
t.ok(last_text(r, "rules") and last_text(r, "set"):find "^steps = 100: lr stays at 0.001",
  "what comes is by those of now, and it says so")
lr = rates(r)
t.ok(math.abs(lr[60] - 1e-4) < 1e-8 and math.abs(lr[61] - 1e-3) < 1e-8,
  "the rates before and after")
whole = r:hash()
t.ok(replay("old").identical, "the whole is replayed, each part by its rules")
r:rewind(30)
t.ok(last_text(r, "rules"), "rewound to before: what comes is by those of now")
r:close()
train.resume("old"):wait():close()
t.ok(replay("old").identical, "and that is replayed as well")

t.done()
