-- The timeline of runs: train.resume, r:rewind, r:fork.
--
-- A run is a function of its configuration and its journal, so any state of it is had again from
-- the nearest checkpoint below by repeating the steps between, with the journal's entries at their
-- steps (lua/again.lua):
--
--     start --- step-200 --- step-400 ----x lr --- 640
--                               \________ repeat _____/
--
--     rewind(500)                  load step-400, repeat 100 steps
--     resume after kill -9 at 640  load step-400, repeat up to the last entry (x), go on
--
--   1. A rewind first puts the state of now into undo/; whatever fails or is interrupted leads back
--      to it.
--   2. What left the timeline goes in this order: checkpoints, then the store.  A death in between
--      leaves the run as it was before the rewind.

local engine = require "switchyard.engine"
local json = require "switchyard.json"
local options = require "switchyard.options"
local record = require "switchyard.record"
local again = require "switchyard.again"
local Run = require("switchyard.run").Run
local timeline = {}

local base, behind, guarded, alone, must_load = again.base, again.behind, again.guarded, again.alone, again.must_load
local go_through, stored_journal, check_start, make = again.go_through, again.stored_journal, again.check_start, again.make
local EFFECT = again.EFFECT

-- ---- resume ----

local resume_rows = {
  {"steps", "integer", nil, 0, 10 ^ 12 // 1, help = "steps of the whole run from now on"},
  {"force", "boolean", false, help = "go on although data, tokenizer or program changed; the journal says so"},
  {"code", "boolean", false, help = "run the stored script up to its first train(), for a model that is defined there"},
  {"data", "any", nil, help = "the data set, where it cannot be read again"},
  {"paused", "boolean", false, help = "wait for r:resume()"},
}
timeline.resume_rows = resume_rows

-- Changes that a checkpoint has and the store has not: the run was killed, or its disk was full,
-- before they were there.
local function complete(store, entries)
  local known = {}
  local function key(e) return ("%d %s %s %s %d"):format(e.step, e.kind, e.key or "", e.value, e.expert or 0) end
  for _, e in ipairs(stored_journal(store)) do known[key(e)] = (known[key(e)] or 0) + 1 end
  for _, e in ipairs(entries) do
    local k = key(e)
    if (known[k] or 0) > 0 then known[k] = known[k] - 1
    elseif EFFECT[e.kind] then store:add("journal", e.step, e.kind, e.text, record.pack(e)) end
  end
end

-- The state that a killed run can be had at from its checkpoints alone.  changed: what is not as it
-- was (forced).  Returns the step, and the entries behind it.
local function come_back(r, store, changed, force)
  local h, journal = r._h, stored_journal(store)
  local from, image = base(store:path(), r._config)
  local at, entries = from and image.step or 0, from and behind(journal, image) or journal
  if not from then check_start("train.resume", r) end
  local ok, why, code = not changed, changed, "STATE"
  if from and ok then ok, why, code = again.load(r, from, image, false) end
  if not ok and not (force and code == "STATE") then error(why, 0) end
  if not ok then -- the journal says so
    if from then again.reshape(r, image) end
    h:repeating(false)
    if from then
      assert(h:load(from, true))
      again.read_inputs(r)
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
  if from then complete(store, h:journal()) end
  return at, entries
end

local function drop_undo(path)
  local ok, why = engine.discard_checkpoints(path, -1, "undo")
  if not ok then error("the state of now cannot be kept: " .. why, 0) end
  os.remove(path .. "/undo")
end

-- The run writes into its directory again.
local function take_directory(h, store, config, info)
  local path = store:path()
  h:set_config(info.config, config.id)
  drop_undo(path) -- of a rewind that was killed
  assert(h:set_dir(path, config.train.keep, config.train.keep_every))
  assert(store:attach(h))
end

local OTHERS = ", by the data order of the version that began it; evaluations see other windows than there"

local function tell_resumed(r, store, at)
  local now = r._h:status().step
  store:add("events", now, "resume", ("from step %d"):format(at))
  engine.event(r.name, "resume", ("resumed at step %d"):format(at) ..
    (now > at and (", repeated up to %d, where its last change was"):format(now) or "") ..
    (r._config.order and "" or OTHERS))
end

local function go_on(store, name, o)
  local what, path = "train.resume", store:path()
  local config, info = record.read(what, store)
  for _, dir in ipairs {path, path .. "/start"} do -- before anything is made
    for _, c in ipairs(engine.checkpoints(dir) or {}) do
      if c.ok then record.check_id(c, config) end
    end
  end
  local _, newest
  if o.steps then _, newest = base(path, config) end -- behind it by a second, if the run was killed
  local now = math.max(info.step, newest and newest.step or 0)
  if o.steps and o.steps < now then
    error(("%s: steps is %d, the run is at step %d already"):format(what, o.steps, now), 0)
  end
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
    take_directory(h, store, config, info)
    h:repeating(true) -- before its thread may tell that it is paused
    Run._launch(r)
    launched = true
    local at = alone(r, "resumed", function()
      local from, entries = come_back(r, store, changed, o.force)
      -- A change of now is one behind what had been done.
      go_through(r, entries, o.steps and math.max(info.step, from) or nil, "repeating")
      h:repeating(false)
      return from
    end)
    again.renew(r)
    tell_resumed(r, store, at)
    for _, e in ipairs(store:entries "samples" or {}) do r.samples[#r.samples + 1] = {step = e.step, text = e.text} end
    if o.steps then Run._set_steps(r, o.steps, not o.paused) end
    if not o.paused then h:resume() end
  end)
  return r
end

local function resume(name_or_dir, given)
  engine.check_alive "train.resume"
  local o = options.read("train.resume", given, resume_rows)
  local _, name = record.locate("train.resume", name_or_dir)
  if Run._live(name) then
    error(("train.resume: run '%s' is open in this session: r = runs %q; r:resume()"):format(name, name), 0)
  end
  local store
  store, name = again.open("train.resume", name_or_dir, true)
  return guarded(function() store:close() end, go_on, store, name, o)
end

--- train.resume(name or directory, {steps=, force=, code=, data=, paused=}) -> run
function timeline.resume(name_or_dir, given)
  return options.call(resume, name_or_dir, given)
end

-- ---- rewind ----

local function check_step(what, step, now)
  if math.type(step) ~= "integer" or step < 0 then
    error(("%s: the step must be a whole number from 0: it is %s"):format(what, tostring(step)), 0)
  end
  if step > now then error(("%s: step %d has not been trained: the run is at step %d"):format(what, step, now), 0) end
end

-- The state of step 0 as a checkpoint in start/, from the seed; needs memory for a second run
-- meanwhile.
local function make_start(what, r)
  local path = r._store:path()
  local fresh = make(what, path, r._config, r.name, {data = r._d})
  local undo = function() fresh._h:close() end
  fresh._h:set_config(json.text(r._config), r._config.id)
  guarded(undo, function()
    check_start(what, fresh)
    local from, why = fresh._h:checkpoint_to(path, "start")
    if not from then error(why, 0) end
  end)
  undo()
end

-- Where r can be had at a step.
local function find(what, r, step)
  local path = r._store:path()
  local from, image = base(path, r._config, step)
  if from then return from, image end
  if r._config.begins and step < r._config.begins then
    error(("%s: run '%s' begins at step %d%s"):format(what, r.name, r._config.begins,
      r._config.parent and " (see its parent '" .. r._config.parent .. "')" or ", where it was first saved"), 0)
  end
  make_start(what, r)
  from, image = base(path, r._config, step)
  if not from then error(("%s: %s has no checkpoint at or below step %d"):format(what, path, step), 0) end
  return from, image
end

-- The state of now (r is held or paused) as a checkpoint of run `id` in dir/sub: by hard links,
-- where it was saved already.
local function put_now(r, dir, sub, id)
  local h = r._h
  local now, entries = h:status().step, #h:journal()
  for _, c in ipairs(engine.checkpoints(r._store:path()) or {}) do
    local image = c.step == now and engine.read_checkpoint(c.path)
    if image and #image.journal == entries and image.hash == h:hash() then
      local path = engine.share_checkpoint(c.path, dir, sub, id)
      if path then return path end
    end
  end
  if id == r._config.id then return h:checkpoint_to(dir, sub) end
  local own <close> = setmetatable({}, {__close = function() h:set_config(json.text(r._config), r._config.id) end})
  h:set_config(json.text(r._config), id)
  return h:checkpoint_to(dir, sub)
end

-- What leads back to the state of now.
local function keep_now(r, was)
  local h, dir = r._h, r._store:path()
  drop_undo(dir)
  local path, why = put_now(r, dir, "undo", r._config.id)
  if not path then error("the state of now cannot be kept: " .. why, 0) end
  local image = assert(engine.read_checkpoint(path))
  return function()
    h:repeating(true) -- whatever it was
    must_load(r, path, image, true)
    r._store:restore(h, image.step)
    if was == "done" then h:resume() elseif was == "stopped" then h:stop() end -- nothing is left to do
    h:wait()
    h:repeating(false)
    drop_undo(dir)
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
  check_step("rewind", step, h:status().step) -- before it is paused
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
      go_through(r, again.before(behind(journal, image), step), step, "rewinding")
      engine.shield(function()
        cut(r, step, {step = now})
        h:repeating(false)
        again.renew(r)
      end)
    end)
    drop_undo(r._store:path())
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

-- The last of the steps after `to` that draw the windows up to number `upto`, as many a step as
-- now.
local function step_of(r, to, upto)
  local each = r._h:get "batch" * r._h:get "accumulate"
  return to + (upto - r._h:windows(to + 1) + each - 1) // each
end

local function leave_out(r, first, last)
  local back = BACK << (r._rewinds or 0)
  local to = math.max(0, first - 1 - back)
  local upto, stood_out = r._h:windows(last + 1), last
  rewind(r, to)
  if upto then last = step_of(r, to, upto) end -- changes of batch or accumulate meanwhile are gone
  for step = to + 1, last do
    r._h:apply{kind = "skip", value = step, text = ("step %d is left out"):format(step)}
  end
  r._h:note("rewind", ("steps %d to %d stood out: rewound to %d, left out up to %d"):format(first, stood_out, to, last))
  engine.event(r.name, "rewind", ("steps %d to %d stood out: rewound to step %d; the data of steps %d to %d are left out")
    :format(first, stood_out, to, to + 1, last))
end

--- After max_skips with auto_rewind: back to before it began, without the data of then.  What
-- cannot be done so often, or at all, ends as without auto_rewind.
function timeline.auto_rewind(r)
  local first, last = r._h:rewind_wanted()
  if not first or rawget(r, "_busy") then return end
  local ok, why = false, ("it was rewound %d times already"):format(TRIES)
  if (rawget(r, "_rewinds") or 0) < TRIES then
    ok, why = pcall(alone, r, "rewound", leave_out, r, first, last)
    rawset(r, "_rewinds", (rawget(r, "_rewinds") or 0) + 1)
  end
  if not ok then
    engine.event(r.name, "alarm", ("alarm: step %d: rewind: %s; the run ends at its next such step"):format(last,
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

-- The parent as it is now: its step and journal; without a step of its own the fork begins with
-- that.
local function look(r, o, store)
  local h = r._h
  h:hold()
  local guard <close> = setmetatable({}, {__close = function() h:release() end})
  h:settle()
  local now, journal = h:status().step, h:journal()
  check_step("fork", o.step or now, now)
  if o.step then return o.step, again.before(journal, o.step) end
  local path, why = put_now(r, store:path(), "start", store:id())
  if not path then error("fork: " .. why, 0) end
  return now, journal, path, assert(engine.read_checkpoint(path))
end

-- A checkpoint of the parent at or below a step, by hard links.
local function share(r, step, store)
  for try = 1, 2 do -- the parent trains on: a checkpoint may go while it is linked
    local from, image = find("fork", r, step)
    local path, why = engine.share_checkpoint(from, store:path(), "start", store:id())
    if path then return path, image end
    if try == 2 then error("fork: " .. why, 0) end
  end
end

local function fill_fork(child, r, path, image, journal, step)
  local h, store = child._h, child._store
  h:repeating(true) -- before its thread may tell that it is paused
  Run._launch(child)
  must_load(child, path, image, false)
  r._store:flush()
  r._store:restore(h, image.step) -- the parent's series: copied, so that the fork stands alone
  for _, e in ipairs(journal) do store:add("journal", e.step, e.kind, e.text, record.pack(e)) end
  go_through(child, behind(journal, image), step, "forking")
  h:repeating(false)
  again.renew(child)
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
  local store, child
  local function undo()
    if not store then return end -- nothing there is ours
    if child then rawset(child, "_store", nil) end -- its lock holds until nothing is left
    if child then (Run._live(o.name) and child.close or child._h.close)(Run._live(o.name) and child or child._h) end
    store:remove()
    store:close()
  end
  guarded(undo, function()
    local taken
    store, taken = record.claim(o.name)
    if not store then error("fork: " .. taken, 0) end
    local step, journal, from, image = look(r, o, store)
    if not from then from, image = share(r, step, store) end
    local begun = from:sub(#store:path() + 1) -- the directory gets its name yet
    local config = {}
    for k, v in pairs(r._config) do config[k] = v end
    config.parent, config.begins = r.name, image.step
    child = make("fork", r._store:path(), config, o.name, {data = r._d})
    local ok, why = record.create(child, {config = config, parent = r.name, parent_step = step, store = store})
    if not ok then error("fork: " .. why, 0) end
    alone(child, "forked", fill_fork, child, r, store:path() .. begun, image, journal, step)
  end)
  if not o.paused then child._h:resume() end
  return child
end

--- r:fork{step=, name=, paused=} -> a new run from that step, training at once; r is untouched
function timeline.fork(r, given)
  return options.call(fork, r, given)
end

Run.methods.rewind, Run.methods.fork = timeline.rewind, timeline.fork

return timeline
