-- The timeline: resume, rewind, fork, replay of runs; what leads to the same bits, what leaves the
-- journal, and that nothing which fails loses a run.  TAP.  Runs go to the folder that
-- tests/scratch.sh made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local Run = require("switchyard.run.run").Run
local folder = engine.runs_dir()

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function make(more)
  return small.moe(t.with({layers = 2, vocab = d.vocab, router = "sigmoid"}, more))
end

local function run(name, more, f, m)
  return small.run(m or make(), d, t.with({steps = 30, batch = 2, lr = 3e-3, warmup = 2,
    eval_every = 10, eval_batches = 1, checkpoint_every = 7, name = name}, more), f)
end

local function child(arguments, environment)
  return (t.child(arguments, {environment = environment}))
end

local function count(list, kind)
  local n = 0
  for _, e in ipairs(list) do n = n + (e.kind == kind and 1 or 0) end
  return n
end

-- ---- rewind: every step is had again ----

local hashes = {}
local function interventions(r, step)
  hashes[step] = r:hash()
  if step == 3 then r.lr = 1e-3 end
  if step == 5 then r.batch = 3 end
  if step == 9 then r.layers[1].experts[2]:disable() end
  if step == 12 then r.layers[2].experts[1]:reset() end
  if step == 13 then r.top_k = 1 end
  if step == 16 then r.layers[1].experts[3]:freeze() end
  if step == 18 then r.context = 8 end
  if step == 20 then r.capacity = 1.5 end
  if step == 22 then r.aux = 0.1 end
  if step == 24 then r:note "a note" end
end

do
  local r = run("main", {keep = 2, sample_every = 8}, interventions)
  local all = #r:journal()
  t.is(all, 10, "all is in the journal")
  t.is(#r.samples, 3, "samples")
  local wrong, history = {}, 0
  for _, step in ipairs{29, 26, 24, 22, 21, 19, 18, 17, 14, 13, 12, 10, 8, 5, 4, 2, 1} do
    r:rewind(step)
    if r:hash() ~= hashes[step] or r.step ~= step or r.state ~= "paused" then
      wrong[#wrong + 1] = step
    end
    if r:history("loss").shape[1] ~= step then history = history + 1 end
  end
  t.is(table.concat(wrong, " "), "", "rewind: state and hash of each step")
  t.is(history, 0, "rewind: series end at the step")
  t.is(#r.samples, 0, "rewind: later samples leave")
  t.is(#r:journal(), 0, "rewind: later entries of the journal leave")
  local store = r._store
  store:flush()
  t.is(#store:entries "journal", 0, "... and of the stored one")
  t.is(#store:entries("journal", 0, true), all, "where they can still be read")
  t.is(#store:entries "samples", 0, "and stored samples")
  t.is(store:history("loss").shape[1], 1, "and rows of stored series")
  t.is(r.top_k .. r.batch .. r.context .. tostring(r.capacity), "2216nil",
    "shapes are those of then")
  t.is(r.layers[1].experts[2].number, 2, "experts are there")
  t.is(r._m.inputs["mask.1"][2]:item(), 0, "a mask is as it was then")
  r:rewind(0)
  t.is(r.step .. " " .. r.state .. " " .. r:history("loss").shape[1], "0 paused 0",
    "rewind(0): the beginning")
  r:resume():wait()
  t.is(r:hash(), hashes[30], "the same hooks lead to the same end")
  store:flush()
  t.is(#store:entries "journal", all, "with the same journal")
  local ended = r:hash()
  local r2 = r:rewind(11)
  t.ok(rawequal(r, r2), "rewind gives the run")
  r.lr = 5e-4
  r:resume():wait()
  t.ok(r:hash() ~= ended, "another way from there")
  local result = replay "main"
  t.ok(result.identical and result.step == 30, "replay: " .. tostring(result))
  t.is(tostring(result), "replay of main: identical through step 30", "what it prints")
end

-- ---- rewind: what fails leaves the run as it is ----

do
  local seen = {}
  local r = run("fails", {steps = 40, checkpoint_every = 0}, function(self, step)
    seen[step] = self:hash()
    if step == 14 then self:checkpoint() end
    if step == 16 then self.batch = 3 end
    if step == 20 then self:pause() end
  end):wait()
  local function same(what)
    t.is(r:hash() .. " " .. r.step .. " " .. r.state .. " " .. r:history("loss").shape[1]
      .. " " .. r.batch,
      seen[20] .. " 20 paused 20 3", what .. ": the run is where it was")
  end
  t.raises(function() r:rewind(21) end, "step 21 has not been trained: the run is at step 20")
  t.raises(function() r:rewind(-1) end, "whole number")
  t.raises(function() r:rewind(1.5) end, "1.5")
  t.raises(function() r:rewind() end, "nil")
  same "a wrong step"
  assert(io.open(r.dir .. "/undo", "w")):close()
  t.raises(function() r:rewind(10) end, "the current state cannot be kept")
  same "no place for the current state"
  os.remove(r.dir .. "/undo")
  local replan, calls, kept = Run._replan, 0, #engine.checkpoints(r.dir)
  Run._replan = function(...)
    calls = calls + 1
    -- the first one reshapes for the checkpoint, the second repeats the change
    if calls == 2 then error("injected", 0) end
    return replan(...)
  end
  t.raises(function() r:rewind(18) end, "injected", "a failure in the midst")
  Run._replan = replan
  same "a failure in the midst"
  t.is(#engine.checkpoints(r.dir), kept, "and its checkpoints are there")
  local failed
  every(r, 1, function(self)
    if self.step == 22 then
      local ok, why = pcall(self.rewind, self, 3)
      failed = not ok and why
    end
  end)
  t.is(r:resume():wait().state, "done", "it goes on")
  t.ok(tostring(failed):find "hook", "a hook cannot rewind its own run")
  -- damaged checkpoints: older ones do
  for _, c in ipairs(engine.checkpoints(r.dir)) do
    local f <close> = assert(io.open(c.path .. "/model.safetensors", "r+"))
    f:seek("set", 300)
    f:write "damage"
  end
  r:rewind(20)
  t.is(r:hash(), seen[20], "damaged checkpoints: from the beginning")
end

-- ---- resume ----

do
  local seen = {}
  local r = run("undisturbed", {steps = 30}, function(self, step)
    if step == 8 then self.lr = 1e-3 end
    if step == 20 then self.batch = 3 self.layers[1].experts[1]:disable() end
    seen[step] = self:hash()
  end)
  local last, losses = r:hash(), r:history("loss"):table()
  t.raises(function() train.resume "undisturbed" end, "is open in this session")
  local again = run("disturbed", {steps = 30, sample_every = 5}, function(self, step)
    if step == 8 then self.lr = 1e-3 end
    if step == 20 then self.batch = 3 self.layers[1].experts[1]:disable() end
    if step == 22 then self:stop() end
  end)
  t.is(again.state .. again.step, "stopped22", "a run that is stopped")
  again:close()
  t.is(runs "disturbed".state, "stopped", "can be read")
  t.is(#runs "disturbed".samples, 4, "its samples, too")
  r:close()
  again = train.resume "disturbed"
  t.is(again:wait().state, "done", "resume: it goes on")
  t.is(again:hash(), last, "to the same bits")
  t.is(#again:journal(), 3, "with its journal")
  local now = again:history("loss"):table()
  local equal = #now == #losses
  for i = 1, #losses do equal = equal and now[i] and now[i][2] == losses[i][2] end
  t.ok(equal, "and all of its losses")
  again:rewind(15)
  t.is(again:hash(), seen[15], "a resumed run can be rewound")
  again.steps = 33
  t.is(again:resume():wait().step, 33, "steps can be set")
  again:close()
  again = train.resume("disturbed", {steps = 36})
  t.is(again:wait().step, 36, "resume with more steps")
  again:close()
  again = train.resume(folder .. "/disturbed", {paused = true})
  t.is(again.state .. again.step, "paused36", "by the directory, paused")
  local out = child [[-e 'train.resume "disturbed"']]
  local events
  t.ok(out:find("run 'disturbed' is being written by process %d+"),
    "another process is refused: " .. out:match "^[^\n]*")
  out = child [[-e 'local s = runs "disturbed"
    print(s.step, s.live, #s:series() > 5, s:history("loss").shape[1])']]
  t.is(out, "36\ttrue\ttrue\t36\n", "but may read")
  again:close()
  events = #runs "disturbed":events()
  t.raises(function() train.resume "nowhere" end, "run 'nowhere': there is no")
  t.raises(function() train.resume("disturbed", {step = 3}) end, "unknown option 'step'")
  t.raises(function() train.resume(7) end, "name of a run")
  t.raises(function() train.resume("disturbed", {steps = 35}) end,
    "steps is 35, the run is at step 36 already")
  t.is(#runs "disturbed":events(), events, "... which nothing is written about")
  -- entries behind the last checkpoint are repeated
  again = train.resume("disturbed", {steps = 40})
  again:wait():close()
  for _, c in ipairs(engine.checkpoints(folder .. "/disturbed")) do
    if c.step > 36 then engine.discard_checkpoints(folder .. "/disturbed", c.step - 1) end
  end
  -- the store says 40, checkpoints end before, as after kill -9
  again = train.resume("disturbed", {paused = true})
  t.is(again.step, 36, "repeated up to the last change, at step 36")
  t.is(again:resume():wait().step, 40, "and on")
  t.ok(replay("disturbed").identical, "a run of four sessions replays")
  again:close()
end

do -- in the midst of it on other kernels and threads
  local last = run("one way", {accumulate = 2}):hash()
  run("another", {accumulate = 2},
    function(self, step) if step == 17 then self:stop() end end):close()
  local out = child([[--threads 3 -e 'r = train.resume "another"; r:wait(); print(r:hash())']],
    "SWITCHYARD_CPU=ref")
  t.is(out:match "(%x+)\n$", last, "resumed on the reference kernels with three threads")
end

-- ---- a beginning that the seed does not give ----

do
  local m = make()
  run("teacher", {steps = 5}, nil, m):close()
  local r = run("pupil", {steps = 12, keep = 2, checkpoint_every = 5}, nil, m)
  local last = r:hash()
  t.is(#engine.checkpoints(r.dir .. "/start"), 1, "a model that was trained before: start/ is kept")
  r:rewind(0)
  t.is(r:resume():wait():hash(), last, "rewind(0) leads there")
  t.ok(replay("pupil").identical, "replay as well")
  r:close()
  engine.discard_checkpoints(folder .. "/pupil/start", -1)
  t.raises(function() replay "pupil" end, "did not begin with what the seed gives")
end

-- ---- fork ----

do
  local seen = {}
  local r = run("parent", {steps = 24, checkpoint_every = 0}, function(self, step)
    seen[step] = self:hash()
    if step == 12 then self:checkpoint() end
    if step == 8 then self.lr = 1e-3 end
    if step == 10 then self.top_k = 1 end
  end)
  local b = r:fork{step = 15, name = "at-15", paused = true}
  t.is(b.step .. " " .. b.state .. " " .. b:hash(), "15 paused " .. seen[15],
    "fork{step=}: the state of then")
  t.is(b:history("loss").shape[1], 15, "with the parent's series up to there")
  t.is(#b:journal(), 2, "and journal")
  t.is(b:resume():wait():hash(), seen[24], "left alone it becomes the parent")
  t.is(r.state .. r.step .. r:hash(), "done24" .. seen[24], "which is untouched")
  t.ok(not rawequal(b.model, r.model), "each has a model of its own")
  local info = b._store:info()
  t.is(info.parent .. info.parent_step, "parent15", "the store knows the parent")
  local first = engine.checkpoints(b.dir .. "/start")[1]
  local f <close> = io.popen(("stat -c %%h '%s/model.safetensors'"):format(first.path))
  t.is(f:read "n", 2, "its checkpoint is shared by hard links")
  t.is(first.step, 12, "that of a step below")
  t.raises(function() b:rewind(first.step - 1) end, "begins at step " .. first.step)
  t.is(b:rewind(first.step):hash(), seen[first.step], "it can be rewound to where it begins")
  local again = b:resume():wait():hash()
  local c = r:fork{name = "now"}
  t.is(c:wait():hash(), r:hash(), "fork{}: now")
  first = engine.checkpoints(c.dir .. "/start")[1]
  local g <close> = io.popen(("stat -c %%h '%s/model.safetensors'"):format(first.path))
  t.is(g:read "n", 2, "of a run that is saved: by hard links")
  r.lr = 9e-4
  c.steps = 30
  c.lr = 2e-3
  c:resume():wait()
  t.is(c.step .. r.step, "3024", "the fork trains on, the parent does not")
  t.ok(replay("now").identical and replay("at-15").identical, "forks replay")
  t.raises(function() r:fork{name = "now"} end, "already")
  local other = engine.store_claim("fork-wanted", folder)
  t.raises(function() r:fork{name = "fork-wanted"} end,
    "run 'fork-wanted' is being written by process")
  t.ok(not io.open(folder .. "/.fork-wanted.new/start") and
    io.open(folder .. "/.fork-wanted.new/run.sqlite"),
    "who takes a name keeps its files")
  other:close()
  local methods, others = debug.getmetatable(r._store).__index, 0
  local restore, remove = methods.restore, methods.remove
  methods.restore = function() error("no room", 0) end
  methods.remove = function(store)
    others = others + (engine.store_claim("half", folder) and 1 or 0)
    return remove(store)
  end
  t.raises(function() r:fork{name = "half"} end, "no room")
  methods.restore, methods.remove = restore, remove
  t.is(others, 0, "a fork that fails is ours until nothing of it is left")
  t.ok(not io.open(folder .. "/half"), "which is soon")
  t.raises(function() r:fork{step = 99} end, "step 99 has not been trained")
  t.raises(function() r:fork{stp = 9} end, "unknown option 'stp'")
  local e = r:fork{step = 0, name = "at-0"}
  t.is(e:wait().step, 24, "fork{step = 0}")
  for _, x in ipairs{r, b, c, e} do x:close() end
  t.is(train.resume("at-15"):wait():hash(), again, "a fork is resumed")
  runs "at-15":close()
  t.ok(tostring(runs()):find("at%-15.*fork of parent at step 15"), "runs() tells of it")
end

-- ---- a change that a checkpoint has and the store has not ----

do
  local r = run("lost-entry", {steps = 20}, function(r, step)
    if step == 5 then r.lr = 1e-3 end
    if step == 6 then r.layers[1].experts[2]:disable() end
  end)
  local hash, entries = r:hash(), count(r:journal(), "set") + count(r:journal(), "input")
  r:close()
  local store = assert(engine.store_open("lost-entry", {dir = folder, write = true}))
  assert(store:truncate(20, 0)) -- all of the journal
  store:close()
  r = train.resume("lost-entry", {steps = 22}):wait()
  r:close()
  t.is(entries, 2, "two changes")
  local again = runs "lost-entry":journal()
  t.is(count(again, "set") + count(again, "input"), 3,
    "resume: they are in the journal again, and the new number of steps")
  t.ok(replay("lost-entry").identical, "and its replay is identical")
end

-- ---- twenty interventions, on other threads and kernels ----

do
  local r = run("twenty", {steps = 44, eval_every = 20}, function(self, step)
    local l = self.layers
    local list = {
      [2] = function() self.lr = 2e-3 end, [4] = function() self.clip = 0.5 end,
      [6] = function() self.batch = 3 end, [8] = function() l[1].experts[1]:disable() end,
      [10] = function() self.context = 12 end, [12] = function() l[2].experts[3]:reset() end,
      [14] = function() l[1].experts[2]:freeze() end, [16] = function() self.top_k = 1 end,
      [18] = function() self.capacity = 1.25 end, [20] = function() self.aux = 0.05 end,
      [22] = function() self.z = 0.002 end, [24] = function() l[1].experts[1]:enable() end,
      [26] = function() self.accumulate = 2 end, [28] = function() self.schedule = "linear" end,
      [30] = function() l[1].experts[2]:unfreeze() end,
      [31] = function() self.weight_decay = 0.2 end,
      [32] = function() self.top_k = 2 end, [34] = function() self.capacity = nil end,
      [36] = function() self.beta2 = 0.99 end, [38] = function() self.gamma = 0.01 end,
      [40] = function() self.batch = 1 end, [42] = function() self.min_lr = 1e-5 end,
    }
    if list[step] then list[step]() end
  end)
  t.is(#r:journal(), 22, "22 interventions")
  r._store:flush()
  local last = r:hash()
  t.is(replay("twenty").hash, last, "replay ends with the same hash")
  local function identical(out, what)
    t.ok(out:find "identical through step 44\n$", what .. ": " .. out)
  end
  identical(child "replay twenty", "in another process, while the run is open")
  identical(child("--threads 1 replay twenty", "SWITCHYARD_CPU=avx2"), "on AVX2, one thread")
  identical(child("--threads 3 replay twenty", "SWITCHYARD_CPU=ref"),
    "on the reference kernels, three threads")
  t.is(replay("twenty", {step = 20}).step, 20, "replay up to a step")
  local other = replay("twenty", {data = data.synthetic{domains = 4, tokens = 20000, seed = 2}})
  t.ok(not other.identical and other.step == 1 and other.difference:find "loss",
    "what differs is named: " .. other.text)
  r:close()
end

-- ---- in hooks ----

do
  local child
  local r = run("forks", {steps = 20}, function(self, step)
    if step == 12 then child = self:fork{name = "of-a-hook", step = 9} end
  end)
  t.is(child:wait().step .. " " .. r.step, "20 20", "a hook may fork its run")
  t.is(child:hash(), r:hash(), "to the same bits")
  r:close()
  child:close()
end

-- ---- what a run depends on ----

do
  local path = folder .. "/text.txt"
  local function write(text)
    local f <close> = assert(io.open(path, "w"))
    f:write(text)
  end
  write(("to be or not to be, that is the question. "):rep(200))
  local tok = assert(tokenizer.train_bpe(path, {vocab = 280}))
  local d2 = assert(data.text(path, {tokenizer = tok, val = 0.2}))
  local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = tok, ffn_dim = 16}
  local r = train(m, d2, {steps = 10, batch = 2, name = "text", eval_every = 5, eval_batches = 1,
                          checkpoint_every = 4}):wait()
  local last = r:hash()
  r:close()
  r = train.resume("text", {steps = 12}):wait()
  t.is(r.step, 12, "text and tokenizer are read again")
  t.is(r.model.tokenizer.hash, tok.hash, "the tokenizer is the model's")
  r:rewind(10)
  t.is(r:hash(), last, "the same data")
  r:close()
  local out = child([[generate text "to be" --tokens 8 --seed 3]])
  t.is(out, child([[generate text "to be" --tokens 8 --seed 3]]),
    "generate: the same text from the same seed")
  t.is(out:sub(1, 5), "to be", "which begins with the prompt")
  t.ok(child(("export text '%s/exported'"):format(folder)):find "the model at step 1", "export")
  local exported = assert(model.load(folder .. "/exported"))
  t.is(exported.params[1]:hash(), runs "text".model.params[1]:hash(), "the folder holds the model")
  write(("to be or not to be, that was the question. "):rep(200))
  t.raises(function() train.resume "text" end, "text.txt) changed: hash", "changed data is named")
  out = child "resume text"
  t.ok(out:find "the data %(.*text.txt%) changed: hash %x+, was %x+; .*%-%-force" and
    not out:find "\n.", "at the command line: " .. out)
  r = train.resume("text", {force = true, steps = 14}):wait()
  t.is(r.step .. r.state, "14done", "force goes on")
  t.is(count(r:journal(), "resume"), 1, "and writes it down")
  r._store:flush()
  t.is(count(r._store:entries "journal", "resume"), 1, "in the store as well")
  r:close()
  os.remove(path)
  t.raises(function() train.resume "text" end, "pass {data = d}", "data that is gone")
  -- a text from memory, another tokenizer
  local d3 = data.string(("a small text from memory; "):rep(100))
  r = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, ffn_dim = 16}, d3,
    {steps = 5, batch = 2, name = "memory", eval_every = 0}):wait()
  last = r:hash()
  r:close()
  t.is(train.resume("memory"):wait():hash(), last, "a text from memory is kept with the run")
  runs "memory":close()
  t.raises(function() train.resume("memory",
    {data = data.string(("a small text from memory; "):rep(100), {tokenizer = tok})}) end,
    "the tokenizer of the data changed", "a changed tokenizer is named")
end

-- ---- data of several files, and as older versions read it ----

do
  local function write(name, text) return t.write(folder .. "/" .. name, text) end
  local lines = write("a.jsonl",
    ('{"body": "to be or not to be, that is the question."}\n'):rep(40))
  local val = write("v.txt", ("to be or not to be, that was the question. "):rep(20))
  local d = assert(data.text{train = {lines}, val = val, field = "body"})
  local r = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, ffn_dim = 16}, d,
    {steps = 5, batch = 2, name = "apart", eval_every = 5, eval_batches = 1}):wait()
  local last = r:hash()
  r:close()
  r = train.resume("apart", {steps = 5}):wait()
  t.is(r:hash(), last, "files for training and for validation are read again")
  r:close()
  local out = child [[replay apart]]
  t.ok(not out:find("data.text", 1, true), "without a word about it: " .. out)
  write("v.txt", ("to be or not to be, that may be the question. "):rep(20))
  t.raises(function() train.resume "apart" end, "a.jsonl; for validation",
    "and named when they changed")

  -- runs of before files were told by their content: what was not .jsonl was taken as it lay there
  local directory = require "switchyard.run.directory"
  local function stored(kind, source, hash, options)
    return {data = {kind = kind, source = source, cwd = "/", hash = hash, options = options},
            tokenizer = {data = kind == "text" and {kind = "bytes"} or nil}}
  end
  for _, name in ipairs{"b.json", "c.ndjson", "d.txt"} do
    local path = write(name, "\xEF\xBB\xBF{\"text\": \"one\"}\n")
    local before = data.text(path, {format = "bytes"}).hash
    local again = directory.data("test", folder,
      stored("text", {path}, before, {val = 0.1, field = "body"}))
    t.is(again.hash, before, "a run of an older version has its data: " .. name)
  end
  local raw = write("tokens.dat", string.pack("<I2I2I2I2", 1, 2, 3, 4))
  local before = data.shards(raw, {vocab = 9, format = "u16"}).hash
  t.is(directory.data("test", folder, stored("shards", raw, before, {vocab = 9})).hash, before,
    "and its shards")
end

-- ---- names and places ----

do
  t.raises(function() run "main" end, "there is a run called 'main' already")
  runs "main":close()
  t.raises(function() run "main" end,
    'main exists already; resume it with train.resume "main", or take another name')
  local here = folder
  assert(io.open(folder .. "/a-file", "w")):close()
  engine.runs_dir(folder .. "/a-file/runs")
  local r = run "nowhere"
  engine.runs_dir(here)
  t.is(r.state .. tostring(r.dir), "donenil", "no directory can be made: the run trains")
  t.raises(function() r:rewind(3) end, "has no directory")
  t.raises(function() r:fork{} end, "has no directory")
  t.ok(r:checkpoint() and r.dir == folder .. "/nowhere",
    "r:checkpoint makes one when it is possible")
  r:close()
end

-- ---- models of one's own ----

do
  local path = folder .. "/own.lua"
  local f = assert(io.open(path, "w"))
  f:write [[
    local width = tonumber(arg[1])
    model.define("ownlm", function(cfg)
      return function(ids)
        return nn.embedding(ids, nn.param("table", {cfg.vocab, cfg.vocab})):view(-1, cfg.vocab)
      end
    end)
    r = train(model.ownlm{vocab = 128, width = width}, data.synthetic{domains = 4, tokens = 20000,
      seed = 1},
      {steps = 6, batch = 2, context = 16, name = "own", eval_every = 0})
    r:wait()
    print(r:hash())
    ranaway = true
  ]]
  f:close()
  local out = child(("'%s' 3"):format(path))
  local hash = out:match "\n(%x+)\n$"
  t.ok(hash, "a script with a model of its own")
  t.raises(function() train.resume "own" end, "model.ownlm, which is not defined here",
    "is not run unasked")
  t.raises(function() train.resume "own" end, "code = true", "and how is told")
  local r = train.resume("own", {code = true})
  t.is(r:wait():hash(), hash, "code = true: defined by the stored script")
  t.ok(_G.ranaway == nil, "which runs up to its first train()")
  r:close()
  t.ok(child("replay own --code"):find "identical through step 6\n$", "at the command line")
end

do -- a router of one's own
  local path = folder .. "/router.lua"
  local f = assert(io.open(path, "w"))
  f:write [[
    function nn.routers.ones_own(logits, K)
      local gates, experts = logits:sigmoid():topk(K, -1)
      return gates, experts, logits:softmax(-1)
    end
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    r = train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      experts = 4, top_k = 2, expert_dim = 16,
      router = "ones_own"}, d, {steps = 6, batch = 2, name = "routed", eval_every = 0})
  ]]
  f:close()
  child(("'%s'"):format(path))
  local out = child "replay routed"
  t.ok(out:find "unknown router 'ones_own'" and out:find "%-%-code" and not out:find "\n.",
    "an unknown router is told: " .. out)
  t.ok(child("replay routed --code"):find "identical through step 6\n$",
    "and found in the stored script")
end

do -- a router that was typed behind another training
  local path = folder .. "/typed.txt"
  local f = assert(io.open(path, "w"))
  f:write [[
    d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    function small(router)
      return model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
        top_k = 2, expert_dim = 16, router = router}
    end
    r = train(small "softmax", d, {steps = 3, batch = 2, save = false, eval_every = 0}):wait()
    nn.router("late", {gives = "", route = function(ctx)
      local gates, experts = ctx:logits():sigmoid():topk(ctx.K, -1)
      return {gates = gates, experts = experts}
    end})
    r = train(small "late", d, {steps = 6, batch = 2, name = "typed_late", eval_every = 0}):wait()
]]
  f:close()
  child(("-i < '%s'"):format(path))
  local out = child "replay typed_late --code"
  t.ok(out:find "identical through step 6\n$", "a router typed behind a train(): " .. out)

  local text = t.read(path) -- behind more than is kept of a session
  local filling = ("x = '%s'\n"):format(("x"):rep(4000)):rep(300) .. ("x = 1\n"):rep(1000)
  t.write(path, (text:gsub("nn.router", function(name) return filling .. name end)
    :gsub("typed_late", "typed_much")))
  child(("-i < '%s'"):format(path))
  out = child "replay typed_much --code"
  t.ok(out:find "identical through step 6\n$", "a router typed behind a megabyte: " .. out)

  -- with what is not run again
  t.write(path, (text:gsub("nn.router", "thrice = 3\n    %0"):gsub("typed_late", "typed_needs")
    :gsub('gives = ""', '%0, rows = {{"times", "number", 2 * thrice}}')))
  child(("-i < '%s'"):format(path))
  out = child "replay typed_needs --code"
  t.ok(out:find("unknown router 'late'", 1, true) and out:find("on the way: ", 1, true)
    and out:find("attempt to perform arithmetic on a nil value (global 'thrice')", 1, true)
    and not out:find "\n.", "why a definition failed is told: " .. out)

  path = folder .. "/late.lua"
  f = assert(io.open(path, "w"))
  f:write [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local function small(router)
      return model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
        top_k = 2, expert_dim = 16, router = router}
    end
    train(small "softmax", d, {steps = 3, batch = 2, save = false, eval_every = 0}):wait()
    nn.router("too_late", {gives = "", route = function(ctx)
      local gates, experts = ctx:logits():sigmoid():topk(ctx.K, -1)
      return {gates = gates, experts = experts}
    end})
    train(small "too_late", d, {steps = 6, batch = 2, name = "too_late", eval_every = 0}):wait()
  ]]
  f:close()
  child(("'%s'"):format(path))
  out = child "replay too_late --code"
  t.ok(out:find "unknown router 'too_late'" and out:find "late.lua defines before its first train",
    "in a script it is told where it was looked for: " .. out)
end

do -- nothing kept
  local r = run("unsaved", {save = false})
  t.is(tostring(r.dir) .. r.state .. #runs(), "nildone" .. #runs(), "save = false: no directory")
  t.ok(not io.open(folder .. "/unsaved"), "none at all")
  t.raises(function() r:rewind(1) end, "has no directory")
  r:close()
  r = run("late", {save = false, steps = 20}, function(self, step)
    if step == 4 then self.lr = 1e-3 end
    if step == 9 then self:pause() end
  end):wait()
  local h = r:hash()
  t.ok(r:checkpoint() and r.dir, "r:checkpoint gives it one")
  t.is(r:resume():wait().state, "done", "it goes on")
  t.is(r:rewind(9):hash(), h, "and back")
  t.raises(function() r:rewind(3) end, "begins at step 9, where it was first saved")
  r:resume():wait()
  t.ok(replay("late").identical and #r._store:entries "journal" == 1, "replay begins there")
  r:close()
end

do -- an entry of a kind that only a newer program knows: the run is looked at, and not made again
  local r = run("newer", {steps = 4})
  r._store:add("journal", 2, "teleport", "layer 1 to layer 2")
  t.raises(function() replay "newer" end,
    "kind 'teleport', which this program does not know: step 2")
  t.raises(function() r:rewind(1) end, "kind 'teleport'")
  r:close()
  t.raises(function() train.resume "newer" end, "kind 'teleport'")
  t.is(runs "newer":journal()[1].text, "layer 1 to layer 2", "its journal is shown")
end

do -- a capacity of nil is a value in the journal, and no sentence of it
  local r = run("nothing", {steps = 6}, function(self, step)
    if step == 2 then self.capacity = 1 end
    if step == 4 then self.capacity = nil end
  end)
  r._store:flush()
  local e = r._store:journal()[2]
  t.ok(e.key == "capacity" and e.value == nil and r._store:journal()[1].value == 1,
    "nil is none, 1 is 1")
  t.ok(replay("nothing").identical, "and is replayed")
  r:close()
end

do -- a directory that comes when older rows are packed already: it gets them all
  local m = model.moe{layers = 1, dim = 8, heads = 2, context = 4, vocab = d.vocab, experts = 2,
                      top_k = 1, expert_dim = 4}
  local r = run("packed", {save = false, steps = 3200, batch = 1, context = 4, eval_every = 0,
                           checkpoint_every = 0, paused = true}, nil, m)
  r:steps(3100):wait()
  local loss, load = r:history "loss", r:history "load.1"
  local store = engine.store_claim("other", folder)
  local index = debug.getmetatable(store).__index
  store:close()
  local attach = index.attach
  index.attach = function() return nil, "the disk is full", "IO" end
  local path, why = r:checkpoint()
  index.attach = attach
  t.is(tostring(path) .. why .. tostring(r.dir), "nilthe disk is fullnil",
    "no room for them: it has none")
  t.ok(not io.open(folder .. "/packed"), "nor half of one")
  t.is(r:history "loss".shape[1], 3100, "nothing is lost")
  t.ok(r:checkpoint(), "room again: it has one")
  local function same(what, last)
    local l, v = r:history "loss", r:history "load.1"
    t.ok(l.shape[1] == last and l:narrow(1, 1, 3100):equal(loss) and v.shape[1] == last and
      v:narrow(1, 1, 3100):equal(load), what)
  end
  same("all rows are there", 3100)
  local written = engine.store_open("packed", {dir = folder})
  t.ok(written:history "loss":equal(loss) and written:history "load.1":equal(load),
    "and in the directory")
  written:close()
  r:resume():wait()
  same("it goes on", 3200)
  r:rewind(3100)
  same("and back", 3100)
  r:close()
end

do -- two who want one name
  local other = engine.store_claim("wanted", folder)
  local refused = "run 'wanted' is being written by process"
  t.raises(function() run("wanted", {steps = 2}) end, refused, "a name that another is just taking")
  t.ok(child([[-e 'local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
      top_k = 2,
      expert_dim = 16}, d, {name = "wanted", steps = 2, batch = 2})']]):find(refused, 1, true),
    "by another process")
  t.ok(not io.open(folder .. "/.wanted.new/code/rewind.lua") and
    not io.open(folder .. "/.wanted.new/start") and
    io.open(folder .. "/.wanted.new/run.sqlite"), "none of them has touched its files")
  other:close()
  t.is(run("wanted", {steps = 2}).state, "done", "it was given up: the next has it")
end

do -- a stored row that does not come again
  local store = engine.store_open("main", {dir = folder})
  local index = debug.getmetatable(store).__index
  local history = index.history
  index.history = function(self, name, ...)
    if name ~= "val_loss" then return history(self, name, ...) end
    return tensor{{10, 1}, {15, 1}}
  end
  local result = replay("main", {step = 5})
  t.ok(result.identical, "rows behind the last step are not compared")
  index.history = function(self, name, ...)
    if name ~= "val_loss" then return history(self, name, ...) end
    return tensor{{4, 1.5}}
  end
  result = replay("main", {step = 5})
  index.history = history
  store:close()
  t.ok(not result.identical and result.difference == "val_loss is missing, was 1.5" and
    result.step == 4, "a row that is missing is a difference: " .. result.text)
end

do -- the loss as blocks
  local sparkline = require("switchyard.engine").sparkline
  local rows = {}
  for i = 1, 60 do rows[i] = {i, i == 31 and 8 or 1} end
  local low, high = "▁", "█"
  t.is(sparkline(tensor(rows), 20), low:rep(10) .. high .. low:rep(9), "a spike is not hidden")
  rows[4][2] = 0 / 0
  t.is(sparkline(tensor(rows), 20), low .. "!" .. low:rep(8) .. high .. low:rep(9),
    "what is no number is marked")
end

-- ---- stored runs ----

do
  local s = runs "main"
  t.is(s.state .. s.step .. s.name, "done30main", "a stored run: its fields")
  t.is(s:history("loss").shape[1], 30, "its series")
  t.is(s:history("load.1.2").shape[1], 30, "a column of one")
  t.is(s:history("load.1").shape[2], 1 + 4, "or all of them")
  t.ok(#s:journal() == 11 and s:journal()[1].key == "lr" and s:journal()[1].step == 3,
    "its journal")
  t.ok(count(s:events(), "rewind") > 10 and count(s:events(), "checkpoint") > 5, "its events")
  local wrong = 0
  for _, e in ipairs(s:events()) do
    if e.kind == "checkpoint" and tonumber(e.text:match "step%-(%d+):") ~= e.step then
      wrong = wrong + 1
    end
  end
  t.is(wrong, 0, "checkpoints are at their steps")
  t.ok(tostring(s:events()):find "^step +time +kind +text\n" and
    tostring(s:events()[1]):find "^step %d+, [%d:%- ]+, ",
    "... printed with the time: " .. tostring(s:events()[1]))
  t.is(s.config.model.family, "moe", "its configuration")
  t.raises(function() s.lr = 1 end, "train.resume makes it live")
  t.raises(function() return s.los end, "'loss'")
  t.raises(function() s:pause() end,
    'pause is of live runs: "main" is stored; train.resume "main" makes it live')
  t.raises(function() return s.lr end, "s.config has what it was started with")
  t.raises(function() return s:history "los" end, "'loss'")
  local function line(text)
    return ("\n" .. text):match "\nmain +%S+ +%S+ +%S+ +%S+ +%S+ %S+ +(%S+)[^\n]*\n"
  end
  local mine, other = line(tostring(runs()) .. "\n"), line(child "runs")
  t.ok(mine and #mine == 12 * 3, "its line of blocks: " .. tostring(mine))
  t.is(other, mine, "the same at the command line")
  local text = tostring(compare{"main", "parent", s})
  t.ok(text:find "\nmain +done +30/30" and text:find "\nparent +done", "compare takes names")
  t.raises(function() compare{"mian"} end, "'main'")
  local other = run("othermain", {lr = 1e-4, steps = 2}, nil, make{experts = 8})
  local both = compare{"main", other}
  local found = {}
  for _, e in ipairs(both.differences) do found[e.option] = e[1] .. " " .. e[2] end
  t.is(found.lr, "0.003 0.0001", "compare: what differs, an option of train")
  t.is(found["model.experts"], "4 8", "... of the model")
  t.is(found.batch, nil, "... and not what is equal")
  t.ok(tostring(both):find "\nlr +0%.003 +0%.0001\n", "as text", tostring(both))
  t.ok(child "runs":find "\nothermain [^\n]* lr=0%.0001 model%.experts=8",
    "switchyard runs has it behind the run's line", child "runs")
  t.ok(tostring(runs()):find "\nothermain [^\n]* lr=0%.0001 model%.experts=8", "and so has runs()")
  other:close()
end

-- ---- r:why: sequences of steps before shapes were changed ----

do
  local function drawn(r, to)
    local out = {}
    for step = 1, to do
      local starts = {}
      for i, x in ipairs(r:why(step).sequences) do starts[i] = x.start end
      out[step] = table.concat(starts, " ")
    end
    return table.concat(out, "; ")
  end
  local r = run("shapes", {steps = 24}, function(self, step)
    if step == 5 then self.batch = 3 end
    if step == 10 then self.context = 8 end
    if step == 15 then self.accumulate = 2 end
  end)
  t.is(#r:why(2).sequences .. #r:why(7).sequences .. #r:why(20).sequences, "236",
    "why: as many as the step had")
  local all = drawn(r, 18)
  local fork = r:fork{step = 18, name = "shapes-fork", paused = true}
  t.is(drawn(fork, 18), all, "the same of a fork")
  r:close()
  fork:close()
  for _, name in ipairs{"shapes", "shapes-fork"} do
    r = train.resume(name, {steps = 26}):wait()
    t.is(drawn(r, 18), all, "and of a run that was resumed: " .. name)
    r:close()
  end
end

-- ---- a stop in a long evaluation: what is set behind it is not of its step ----

do
  local long, r = 1 << 15, nil
  local function steps(h)
    local out = {}
    for i = 1, h and h.shape[1] or 0 do out[i] = ("%d"):format(h[i][1]:item()) end
    return table.concat(out, " ")
  end
  repeat -- until it takes longer than a stop waits for it, on any machine
    if r then r:close() end
    local text = data.string(("to be or not to be, "):rep(long), {val = 0.5})
    r = train(model.dense{layers = 1, dim = 8, heads = 2, vocab = text.vocab, context = 8}, text,
              {steps = 40, batch = 1, context = 8, eval_every = 10, eval_batches = 1000000,
               checkpoint_every = 0, name = "long" .. long})
    r:wait(10):stop():wait()
    long = long * 2
  until not r.val_loss
  t.is(r.step, 10, "stopped in an evaluation")
  local said = 0
  for _, e in ipairs(r:events()) do
    said = said + (
      e.text:find "the evaluation of step 10 was given up and is left out: window %d+ of %d+" and
      1 or 0)
  end
  t.is(said, 1, "a line says what is left out")
  r.eval_batches = 1
  r:resume():wait()
  t.is(steps(r:history "val_loss"), "20 30 40", "the run goes on without it")
  local again = replay(r.name)
  t.ok(again.identical, "replayed: " .. again.text)
  r:rewind(10)
  r.eval_batches = 1
  r:resume():wait()
  t.is(steps(r:history "val_loss"), "20 30 40", "and so from that step")
  r:close()
end

t.done()
