-- The timeline of runs: train.resume, r:rewind, r:fork, replay.
--
-- A run is a function of its configuration and its journal, so any state of it is had again from the nearest
-- checkpoint below by repeating the steps between, with the journal's entries at their steps:
--
--     start --- step-200 --- step-400 ----x lr --- 640            rewind(500): load step-400, repeat 100 steps
--                               \________ repeat _____/            resume after kill -9 at 640: load step-400,
--                                                                  repeat up to the last entry (x), go on
--
--   1. The journal in a checkpoint is a prefix of the run's; what is to be repeated are the entries behind it.
--   2. While steps are repeated nothing is announced, saved or written down, and no hook runs (h:repeating).
--   3. A rewind first puts the state of now into undo/; whatever fails or is interrupted leads back to it.
--   4. What left the timeline goes in this order: checkpoints, then the store.  A death in between leaves the run
--      as it was before the rewind.

local engine = require "switchyard.engine"
local options = require "switchyard.options"
local record = require "switchyard.record"
local surgery = require "switchyard.surgery"
local Run = require("switchyard.run").Run
local timeline = {}

local SLICE = 0.3 -- seconds of steps between two looks at progress
local PLAN = {} -- hyper-parameters that need a new plan
for _, h in ipairs(engine.hyper()) do PLAN[h.name] = h.live == "plan" or nil end
-- Kinds that change what follows; all others are for people.
local EFFECT = {set = true, schedule = true, input = true, freeze = true, unfreeze = true, config = true, reset = true,
  skip = true}

-- ---- entries ----

--- Entries of a store's journal as h:journal() has them (src/bind/run.c, pack_entry).
local function stored_journal(store)
  local list = {}
  for i, e in ipairs(assert(store:entries "journal")) do
    local expert, value, _, key, values = -1, 0, nil, "", ""
    if e.data then expert, value, _, key, values = ("<i8 d s4 s4 s4"):unpack(e.data) end
    list[i] = {id = e.id, step = e.step, kind = e.kind, text = e.text, key = key ~= "" and key or nil, value = value,
               expert = expert >= 0 and expert + 1 or nil, values = #values > 0 and engine.f32(values) or nil,
               time = e.time}
  end
  table.sort(list, function(a, b) return a.step < b.step or a.step == b.step and a.id < b.id end)
  return list
end
timeline.stored_journal = stored_journal

-- The data of an entry, as src/bind/run.c packs it.
local function pack(e)
  local values = {}
  for i, v in ipairs(e.values and e.values:table() or {}) do values[i] = ("<f"):pack(v) end
  return ("<i8 d s4 s4 s4"):pack((e.expert or 0) - 1, e.value or 0, e.kind, e.key or "", table.concat(values))
end

-- What comes behind a checkpoint's journal in that of its run.
local function behind(journal, image)
  local at_step, list = 0, {}
  for _, e in ipairs(image.journal) do at_step = at_step + (e.step == image.step and 1 or 0) end
  for _, e in ipairs(journal) do
    if e.step > image.step or e.step == image.step and at_step <= 0 then list[#list + 1] = e end
    if e.step == image.step then at_step = at_step - 1 end
  end
  return list
end

local function before(entries, step)
  local list = {}
  for _, e in ipairs(entries) do
    if e.step < step then list[#list + 1] = e end
  end
  return list
end

local function config_value(e)
  if e.text:match "= nil$" then return nil end
  return e.key == "top_k" and math.tointeger(e.value) or e.value
end

local function apply(r, e)
  local m, h = r._m, r._h
  if e.kind == "set" and PLAN[e.key] then
    h:apply(e)
    Run._replan(r)
  elseif e.kind == "config" then
    m.cfg[e.key] = config_value(e)
    Run._replan(r, function() h:record(e) end)
  elseif e.kind == "reset" then
    m:_quietly(function()
      surgery.redraw(m, h, e.key, e.expert, math.tointeger(e.value))
      h:record(e)
    end)
  elseif EFFECT[e.kind] then
    h:apply(e)
    if e.kind == "input" and m.inputs[e.key] then engine.copy(m.inputs[e.key], e.values) end
  elseif e.kind ~= "skipped" then -- the rule writes that down again itself
    h:record(e)
  end
end

-- ---- repeating ----

local function progress(r, what)
  local told = engine.now()
  return function(step, last)
    if engine.now() - told < 2 then return end
    told = engine.now()
    engine.event(r.name, what, ("%s: step %d/%d"):format(what, step, last))
  end
end

-- Steps up to `target`, then paused.
local function walk(r, target, last, tell)
  local h, at = r._h, r._h:status().step
  local n = 1
  while at < target do
    local begun = engine.now()
    h:steps(math.min(n, target - at))
    h:wait()
    local s = h:status()
    if s.step == at then error(("step %d does not come: the run is %s%s"):format(at + 1, s.state, s.error and ": " .. s.error or ""), 0) end
    local each = (engine.now() - begun) / (s.step - at)
    n = math.max(1, math.min(1000, SLICE / math.max(each, 1e-6) // 1))
    at = s.step
    tell(at, last)
  end
end

--- Entries at their steps, and steps up to `target` (nil: the last entry's).  The run is paused before and after.
local function go_through(r, entries, target, what)
  local last = target or #entries > 0 and entries[#entries].step or 0
  local tell = progress(r, what)
  for _, e in ipairs(entries) do
    walk(r, e.step, last, tell)
    apply(r, e)
  end
  if target then walk(r, target, last, tell) end
end

-- ---- loading ----

-- top_k and capacity at the end of a journal.
local function routing(config, journal)
  local shape = {top_k = config.model.config.top_k, capacity = config.model.config.capacity}
  for _, e in ipairs(journal) do
    if e.kind == "config" then shape[e.key] = config_value(e) end
  end
  return shape
end

local SHAPE = {"batch", "context", "accumulate"}

--- A plan as the checkpoint was made with.  always: whatever the shape seems to be, for a change may have ended
-- half done.
local function reshape(r, image, always)
  local h, cfg, other = r._h, r._m.cfg, always
  for _, name in ipairs(SHAPE) do
    if h:get(name) ~= image.hyper[name] then
      h:apply{kind = "set", key = name, value = image.hyper[name]}
      other = true
    end
  end
  local shape = routing(r._config, image.journal)
  for _, name in ipairs {"top_k", "capacity"} do
    if cfg[name] ~= shape[name] then
      cfg[name] = shape[name]
      other = true
    end
  end
  if other then Run._replan(r) end
end

-- Values of nn.input as the programs have them, for those of the model.
local function read_inputs(r)
  r._m:_quietly(function()
    for name, t in pairs(r._m.inputs) do
      local now = r._h:input(name)
      if now then engine.copy(t, now) end
    end
  end)
end

local function load(r, path, image, force)
  reshape(r, image, force)
  local ok, why, code = r._h:load(path, force)
  if ok then read_inputs(r) end
  return ok, why, code
end

local function must_load(r, path, image, force)
  local ok, why = load(r, path, image, force)
  if not ok then error(why, 0) end
end

--- The newest checkpoint of a run's directory that is whole, at most of this step, and holds no entry of the
-- journal that took effect after it: path, image; nil: there is none.
local function base(path, step)
  local list = {}
  for _, dir in ipairs {path .. "/start", path} do
    for _, c in ipairs(engine.checkpoints(dir) or {}) do
      if not step or c.step <= step then list[#list + 1] = c end
    end
  end
  table.sort(list, function(a, b) return a.step < b.step end)
  for i = #list, 1, -1 do
    local image = engine.read_checkpoint(list[i].path)
    local fits = image and image.step == list[i].step
    for _, e in ipairs(fits and step and image.journal or {}) do
      if e.step >= step and EFFECT[e.kind] then fits = false end
    end
    if fits then return list[i].path, image end
  end
end

timeline.base, timeline.routing = base, routing

-- ---- making runs again ----

local function check_start(what, r)
  if r._h:hash() ~= r._config.initial then
    error(("%s: run '%s' did not begin with what the seed gives, and %s/start is gone: there is no state to begin with")
      :format(what, r._config_name or r.name, r._path or "its directory"), 0)
  end
end

local function read_options(config, name, more)
  local o = {}
  for k, v in pairs(config.train) do o[k] = v end
  o.name, o.paused = name, true
  for k, v in pairs(more or {}) do o[k] = v end
  return o
end

-- A run of the configuration at step 0, paused and not among runs().
local function make(what, path, config, name, given)
  local m = record.model(what, path, config, given.code)
  local d = given.data or record.data(what, path, config)
  local r = Run._make(m, d, Run._read_options(m, read_options(config, name)))
  rawset(r, "_config", config)
  rawset(r, "_path", path)
  r._h:pause()
  return r
end

local function open(what, name_or_dir, write)
  local folder, name = record.locate(what, name_or_dir)
  local store, why = engine.store_open(name, {dir = folder, write = write})
  if not store then error(what .. ": " .. why, 0) end
  return store, name
end

-- f(...); if it raises, undo() in full and raise again.
local function guarded(undo, f, ...)
  local results = table.pack(pcall(f, ...))
  if not results[1] then
    engine.shield(undo)
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

-- f(...) with r for us alone, against other jobs and what is typed meanwhile.
local function alone(r, doing, f, ...)
  rawset(r, "_busy", doing)
  local done <close> = setmetatable({}, {__close = function() rawset(r, "_busy", nil) end})
  return f(...)
end

-- ---- resume ----

local resume_rows = {
  {"steps", "integer", nil, 0, 10 ^ 12 // 1, help = "steps of the whole run from now on"},
  {"force", "boolean", false, help = "go on although data, tokenizer or program changed; the journal says so"},
  {"code", "boolean", false, help = "run the stored script up to its first train(), for a model that is defined there"},
  {"data", "any", nil, help = "the data set, where it cannot be read again"},
  {"paused", "boolean", false, help = "wait for r:resume()"},
}
timeline.resume_rows = resume_rows

-- The state that a killed run can be had at from its checkpoints alone.  changed: what is not as it was (forced).
-- Returns the step, and the entries behind it.
local function come_back(r, store, changed, force)
  local h, journal = r._h, stored_journal(store)
  local from, image = base(store:path())
  local at, entries = from and image.step or 0, from and behind(journal, image) or journal
  if not from then check_start("train.resume", r) end
  local ok, why, code = not changed, changed, "STATE"
  if from and ok then ok, why, code = load(r, from, image, false) end
  if not ok and not (force and code == "STATE") then error(why, 0) end
  if not ok then -- the journal says so
    if from then reshape(r, image) end
    h:repeating(false)
    if from then
      assert(h:load(from, true))
      read_inputs(r)
    else
      h:note("resume", why)
    end
    h:repeating(true)
  end
  for _, c in ipairs(engine.checkpoints(store:path()) or {}) do -- damaged; not to be found whole on a better day
    if c.step > at then os.rename(c.path, c.path .. ".damaged") end
  end
  store:truncate(at, false) -- these rows come again, and may be others if something is changed on the way
  store:restore(h, at)
  return at, entries
end

local function go_on(store, name, o)
  local what, path = "train.resume", store:path()
  local config, info = record.read(what, store)
  local r = make(what, path, config, name, o)
  rawset(r, "_store", store)
  local h, launched = r._h, false
  local function undo()
    if launched then r:close() else h:close() end
  end
  guarded(undo, function()
    local changed = record.difference(config, r._m, r._d)
    if changed and not o.force then
      error(("%s: %s; {force = true} (--force) goes on all the same"):format(what, changed), 0)
    end
    h:set_config(info.config)
    engine.discard_checkpoints(path .. "/undo", -1) -- of a rewind that was killed
    os.remove(path .. "/undo")
    assert(h:set_dir(path, config.train.keep, config.train.keep_every))
    store:attach(h)
    Run._launch(r)
    launched = true
    local at = alone(r, "resumed", function()
      h:repeating(true)
      local from, entries = come_back(r, store, changed, o.force)
      -- A change of now is one behind what had been done.
      go_through(r, entries, o.steps and math.max(info.step, from) or nil, "repeating")
      h:repeating(false)
      return from
    end)
    local now = h:status().step
    store:add("events", now, "resume", ("from step %d"):format(at))
    engine.event(name, "resume", ("resumed at step %d"):format(at) ..
      (now > at and (", repeated up to %d, where its last change was"):format(now) or ""))
    for _, e in ipairs(store:entries "samples" or {}) do r.samples[#r.samples + 1] = {step = e.step, text = e.text} end
    if o.steps then r.steps = o.steps end
    if not o.paused then h:resume() end
  end)
  return r
end

local function resume(name_or_dir, given)
  local o = options.read("train.resume", given, resume_rows)
  local _, name = record.locate("train.resume", name_or_dir)
  if Run._live(name) then
    error(("train.resume: run '%s' is open in this session: r = runs %q; r:resume()"):format(name, name), 0)
  end
  local store
  store, name = open("train.resume", name_or_dir, true)
  return guarded(function() store:close() end, go_on, store, name, o)
end

--- train.resume(name or directory, {steps=, force=, code=, data=, paused=}) -> run
function timeline.resume(name_or_dir, given)
  local ok, r = pcall(resume, name_or_dir, given)
  if not ok then options.raise(r, 2) end
  return r
end

-- ---- rewind ----

local function check_step(what, step, now)
  if math.type(step) ~= "integer" or step < 0 then
    error(("%s: the step must be a whole number from 0: it is %s"):format(what, tostring(step)), 0)
  end
  if step > now then error(("%s: step %d has not been trained: the run is at step %d"):format(what, step, now), 0) end
end

-- The state of step 0 as a checkpoint in start/, from the seed; needs memory for a second run meanwhile.
local function make_start(what, r)
  local path = r._store:path()
  local fresh = make(what, path, r._config, r.name, {data = r._d})
  local undo = function() fresh._h:close() end
  guarded(undo, function()
    check_start(what, fresh)
    local from, why = fresh._h:checkpoint_to(path .. "/start")
    if not from then error(why, 0) end
  end)
  undo()
end

-- Where r can be had at a step.
local function find(what, r, step)
  local path = r._store:path()
  local from, image = base(path, step)
  if from then return from, image end
  if r._config.begins and step < r._config.begins then
    error(("%s: run '%s' begins at step %d (see its parent '%s')"):format(what, r.name, r._config.begins, r._config.parent), 0)
  end
  make_start(what, r)
  from, image = base(path, step)
  if not from then error(("%s: %s has no checkpoint at or below step %d"):format(what, path, step), 0) end
  return from, image
end

-- What leads back to the state of now.
local function keep_now(r, was)
  local h, dir = r._h, r._store:path() .. "/undo"
  engine.discard_checkpoints(dir, -1)
  local path, why = h:checkpoint_to(dir)
  if not path then error(("rewind: the state of now cannot be kept: %s"):format(why), 0) end
  local image = assert(engine.read_checkpoint(path))
  return function()
    h:repeating(true) -- whatever it was
    must_load(r, path, image, true)
    r._store:restore(h, image.step)
    if was == "done" then h:resume() elseif was == "stopped" then h:stop() end -- nothing is left to do
    h:wait()
    h:repeating(false)
    engine.discard_checkpoints(dir, -1)
    os.remove(dir)
  end
end

local function cut(r, step, journal)
  local path, store, id = r._store:path(), r._store, 0
  for _, e in ipairs(stored_journal(store)) do
    if e.step < step then id = e.id end
  end
  local keep = step
  for _, c in ipairs(engine.checkpoints(path) or {}) do
    local image = c.step == step and engine.read_checkpoint(c.path)
    for _, e in ipairs(image and image.journal or {}) do
      if e.step >= step and EFFECT[e.kind] then keep = step - 1 end
    end
  end
  local ok, why = engine.discard_checkpoints(path, keep)
  if not ok then error(why, 0) end
  store:truncate(step, id) -- when the disk fails: at the next flush
  store:add("events", step, "rewind", ("from step %d"):format(journal.step))
  while #r.samples > 0 and r.samples[#r.samples].step > step do table.remove(r.samples) end
end

local function rewind(r, step)
  local h = r._h
  if h:in_hook() then error("rewind: a hook cannot rewind its own run", 0) end
  if not r._store then error(("rewind: run '%s' has no directory"):format(r.name), 0) end
  Run._check_goes_on(r, "rewind")
  check_step("rewind", step, math.maxinteger)
  local was = h:status().state
  h:pause()
  local function go_back() if was == "running" then h:resume() end end
  guarded(go_back, function()
    h:wait()
    h:settle()
    local now = h:status().step
    check_step("rewind", step, now)
    r._store:flush()
    local journal = h:journal()
    local undo = keep_now(r, was) -- waits for a save that is under way, which takes older ones away
    guarded(undo, function()
      local from, image = find("rewind", r, step)
      h:repeating(true)
      must_load(r, from, image, false)
      r._store:restore(h, image.step)
      go_through(r, before(behind(journal, image), step), step, "rewinding")
      engine.shield(function()
        cut(r, step, {step = now})
        h:repeating(false)
      end)
    end)
    local dir = r._store:path() .. "/undo"
    engine.discard_checkpoints(dir, -1)
    os.remove(dir)
  end)
  return r
end

--- r:rewind(step): exactly the state after that step, paused
function timeline.rewind(r, step)
  local ok, why = pcall(alone, r, "rewound", rewind, r, step)
  if not ok then options.raise(why, 2) end
  return r
end

-- ---- rewinding by itself (auto_rewind) ----

local BACK, TRIES = 32, 3 -- steps before the first that was skipped, doubled each time; times

local function leave_out(r, first, last)
  local back = BACK << (r._rewinds or 0)
  local to = math.max(0, first - 1 - back)
  rewind(r, to)
  for step = to + 1, last do
    r._h:apply{kind = "skip", value = step, text = ("step %d is left out"):format(step)}
  end
  r._h:note("rewind", ("steps %d to %d stood out: rewound to %d, left out up to %d"):format(first, last, to, last))
  engine.event(r.name, "rewind", ("steps %d to %d stood out: rewound to step %d; the data of steps %d to %d are left out")
    :format(first, last, to, to + 1, last))
end

--- After max_skips with auto_rewind: back to before it began, without the data of then.  What cannot be done so
-- often, or at all, ends as without auto_rewind.
function timeline.auto_rewind(r)
  local first, last = r._h:rewind_wanted()
  if not first or rawget(r, "_busy") then return end
  local ok, why = false, ("it was rewound %d times already"):format(TRIES)
  if (rawget(r, "_rewinds") or 0) < TRIES then
    ok, why = pcall(alone, r, "rewound", leave_out, r, first, last)
    rawset(r, "_rewinds", (rawget(r, "_rewinds") or 0) + 1)
  end
  if not ok then
    engine.event(r.name, "alarm", ("rewind: alarm: step %d: %s; the run ends at its next such step"):format(last,
      tostring(why)))
    r._h:set("auto_rewind", false)
  end
  r._h:resume()
end
Run._auto_rewind = timeline.auto_rewind

-- ---- fork ----

local fork_rows = {
  {"step", "integer", nil, 0, 1 << 52, help = "after which it leaves the parent; default: now"},
  {"name", "string", nil, help = "of the new run; default: two words"},
  {"paused", "boolean", false, help = "wait for r:resume()"},
}
timeline.fork_rows = fork_rows

-- The parent as it is now: its step and journal; without a step of its own the fork begins with that.
local function look(r, o, to)
  local h = r._h
  h:hold()
  local guard <close> = setmetatable({}, {__close = function() h:release() end})
  h:settle()
  local now, journal = h:status().step, h:journal()
  check_step("fork", o.step or now, now)
  if o.step then return o.step, before(journal, o.step) end
  local path, why = h:checkpoint_to(to)
  if not path then error("fork: " .. why, 0) end
  return now, journal, path, assert(engine.read_checkpoint(path))
end

-- A checkpoint of the parent at or below a step, by hard links.
local function share(r, step, to)
  for try = 1, 2 do -- the parent trains on: a checkpoint may go while it is linked
    local from, image = find("fork", r, step)
    local path, why = engine.share_checkpoint(from, to)
    if path then return path, image end
    if try == 2 then error("fork: " .. why, 0) end
  end
end

local function fill_fork(child, r, path, image, journal, step)
  local h, store = child._h, child._store
  Run._launch(child)
  h:repeating(true)
  must_load(child, path, image, false)
  r._store:flush()
  r._store:restore(h, image.step) -- the parent's series: copied, so that the fork stands alone
  for _, e in ipairs(journal) do store:add("journal", e.step, e.kind, e.text, pack(e)) end
  go_through(child, behind(journal, image), step, "forking")
  h:repeating(false)
  store:add("events", step, "fork", ("of %s at step %d"):format(r.name, step))
  store:flush()
end

local function fork(r, given)
  local o = options.read("fork", given, fork_rows)
  if not r._store then error(("fork: run '%s' has no directory"):format(r.name), 0) end
  Run._check_goes_on(r, "fork")
  o.name = o.name or Run._fresh_name()
  Run._check_name("fork", o.name)
  check_step("fork", o.step or 0, r._h:status().step)
  local path = engine.runs_dir() .. "/" .. o.name
  local child
  local function undo()
    if child then (Run._live(o.name) and child.close or child._h.close)(Run._live(o.name) and child or child._h) end
    record.remove(path, r._m)
  end
  guarded(undo, function()
    local step, journal, from, image = look(r, o, path .. "/start")
    if not from then from, image = share(r, step, path .. "/start") end
    local config = {}
    for k, v in pairs(r._config) do config[k] = v end
    config.parent, config.begins = r.name, image.step
    child = make("fork", r._store:path(), config, o.name, {data = r._d})
    local ok, why = record.create(child, {config = config, parent = r.name, parent_step = step})
    if not ok then error("fork: " .. why, 0) end
    alone(child, "forked", fill_fork, child, r, from, image, journal, step)
  end)
  if not o.paused then child._h:resume() end
  return child
end

--- r:fork{step=, name=, paused=} -> a new run from that step, training at once; r is untouched
function timeline.fork(r, given)
  local ok, child = pcall(fork, r, given)
  if not ok then options.raise(child, 2) end
  return child
end

-- ---- replay ----

local COMPARED = {"loss", "val_loss", "grad_norm", "lr"}

-- Steps and values of a series as two lists; nothing when there is none.
local function flat(history)
  return history and history.shape[1] > 0 and history:view(-1):table() or {}
end

-- Compares the rows of the replay with those stored, a stretch at a time.
local function comparer(store, h)
  local stored, at = {}, {}
  for _, name in ipairs(COMPARED) do
    stored[name], at[name] = flat((store:history(name))), 1
  end
  return function(upto)
    local worst
    for _, name in ipairs(COMPARED) do
      local now, was, i = flat(h:history(name)), stored[name], at[name]
      local by_step = {}
      for k = 1, #now, 2 do by_step[now[k]] = now[k + 1] end
      while was[i] and was[i] <= upto do
        local step, v, w = was[i] // 1 | 0, was[i + 1], by_step[was[i]]
        if w ~= nil and w ~= v and (v == v or w == w) and (not worst or step < worst.step) then
          worst = {step = step, what = ("%s is %.9g, was %.9g"):format(name, w, v)}
        end
        i = i + 2
      end
      at[name] = i
    end
    return worst
  end
end

local function stops(entries, checkpoints, last)
  local at, list = {[last] = true}, {}
  for _, e in ipairs(entries) do at[e.step] = true end
  for step in pairs(checkpoints) do at[step] = true end
  for step in pairs(at) do
    if step <= last then list[#list + 1] = step end
  end
  table.sort(list)
  return list
end

local function stored_hashes(path)
  local hashes = {}
  for _, c in ipairs(engine.checkpoints(path) or {}) do
    local image = engine.read_checkpoint(c.path)
    if image and image.hash then hashes[image.step] = {hash = image.hash, journal = #image.journal} end
  end
  return hashes
end

-- Repeat everything; the first difference, or nil.  Entries of a step come before its checkpoint as far as the
-- checkpoint has them.
local function repeat_all(r, entries, hashes, last, differs)
  local h, i = r._h, 1
  local tell = progress(r, "replaying")
  local done = #h:journal()
  for _, step in ipairs(stops(entries, hashes, last)) do
    if step >= h:status().step then
      walk(r, step, last, tell)
      local worst = differs(step)
      if worst then return worst end
      local c = hashes[step]
      local function do_entries(most)
        while entries[i] and entries[i].step <= step and done < most do
          apply(r, entries[i])
          i, done = i + 1, done + 1
        end
      end
      do_entries(c and c.journal or math.huge)
      if c and r._m:_quietly(h.hash, h) ~= c.hash then return {step = step, what = "parameters or moments differ"} end
      do_entries(math.huge)
    end
  end
end

local function replay(name_or_dir, given)
  local what = "replay"
  local o = options.read(what, given, timeline.replay_rows)
  local store, name = open(what, name_or_dir, false)
  local close <close> = setmetatable({}, {__close = function() store:close() end})
  local live = Run._live(name)
  if live and live._store then live._store:flush() end
  local path = store:path()
  local config, info = record.read(what, store)
  local last = o.step and math.min(o.step, info.step) or info.step
  local r = make(what, path, config, name, o)
  local ended <close> = setmetatable({}, {__close = function() engine.shield(function() r._h:close() end) end})
  local h, entries = r._h, stored_journal(store)
  h:repeating(true)
  h:start()
  local at = engine.checkpoints(path .. "/start") or {}
  if #at > 0 then
    local image = assert(engine.read_checkpoint(at[1].path))
    must_load(r, at[1].path, image, true)
    entries = behind(entries, image)
  else
    check_start(what, r)
  end
  local worst = repeat_all(r, entries, stored_hashes(path), last, comparer(store, h))
  local result = {name = name, identical = not worst, step = worst and worst.step or last,
                  difference = worst and worst.what, hash = r._m:_quietly(h.hash, h)}
  result.text = worst and ("differs first at step %d: %s"):format(worst.step, worst.what)
                or ("identical through step %d"):format(last)
  return setmetatable(result, {__tostring = function(t) return ("replay of %s: %s"):format(t.name, t.text) end})
end

timeline.replay_rows = {
  {"step", "integer", nil, 0, 1 << 52, help = "the last to repeat; default: all that is stored"},
  {"code", "boolean", false, help = "as of train.resume"},
  {"data", "any", nil, help = "as of train.resume"},
}

--- replay(name or directory, {step=, code=, data=}) -> {identical=, step=, difference=, text=}
function timeline.replay(name_or_dir, given)
  local ok, result = pcall(replay, name_or_dir, given)
  if not ok then options.raise(result, 2) end
  return result
end

Run.methods.rewind, Run.methods.fork = timeline.rewind, timeline.fork

return timeline
