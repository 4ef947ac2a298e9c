-- r:rewind(step): exactly the state after that step, from the nearest checkpoint below and the
-- journal (lua/run/reconstruct.lua); and rewinding by itself (auto_rewind).
--
--     start --- step-200 --- step-400 --- 640
--     rewind(500): load step-400, repeat 100 steps with the journal's entries at theirs
--
--   1. A rewind first saves the current state in undo/; whatever fails or is interrupted leads back
--      to it.
--   2. What is taken back goes in this order: checkpoints, then the store.  A death in between
--      leaves the run as it was before the rewind.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local json = require "switchyard.core.json"
local options = require "switchyard.core.options"
local reconstruct = require "switchyard.run.reconstruct"
local Run = require("switchyard.run.run").Run

local base, behind, guarded, alone, must_load =
  reconstruct.base, reconstruct.behind, reconstruct.guarded, reconstruct.alone,
  reconstruct.must_load
local go_through, stored_journal, check_start, make =
  reconstruct.go_through, reconstruct.stored_journal, reconstruct.check_start, reconstruct.make
local has_effect, drop_undo, wait_still = reconstruct.has_effect, reconstruct.drop_undo,
  reconstruct.wait_still

local function check_step(what, step, now)
  if math.type(step) ~= "integer" or step < 0 then
    error(("%s: the step must be a whole number from 0: it is %s"):format(what, tostring(step)), 0)
  end
  if step > now then
    error(("%s: step %d has not been trained: the run is at step %d"):format(what, step, now), 0)
  end
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

-- The checkpoint from which r comes to a step.
local function find(what, r, step)
  local path = r._store:path()
  local from, image = base(path, r._config, step)
  if from then return from, image end
  if r._config.begins and step < r._config.begins then
    error(("%s: run '%s' begins at step %d%s"):format(what, r.name, r._config.begins,
      r._config.parent and " (see its parent '" .. r._config.parent .. "')" or
      ", where it was first saved"), 0)
  end
  make_start(what, r)
  from, image = base(path, r._config, step)
  if not from then
    error(("%s: %s has no checkpoint at or below step %d"):format(what, path, step), 0)
  end
  return from, image
end

-- The current state (r is held or paused) as a checkpoint of run `id` in dir/sub: by hard links,
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
  local own <close> = setmetatable({},
    {__close = function() h:set_config(json.text(r._config), r._config.id) end})
  h:set_config(json.text(r._config), id)
  return h:checkpoint_to(dir, sub)
end

-- What leads back to the current state.
local function keep_now(r, was)
  local h, dir = r._h, r._store:path()
  drop_undo(dir)
  local path, why = put_now(r, dir, "undo", r._config.id)
  if not path then error("the current state cannot be kept: " .. why, 0) end
  local image = assert(engine.read_checkpoint(path))
  return function()
    h:repeating(true) -- whatever it was
    must_load(r, path, image, true)
    r._store:restore(h, image.step)
    -- nothing is left to do
    if was == enum.state.DONE then h:resume() elseif was == enum.state.STOPPED then h:stop() end
    wait_still(r)
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
      if e.step >= step and has_effect(e) then keep = step - 1 end
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
  local function go_back() if was == enum.state.RUNNING then h:resume() end end
  guarded(go_back, function()
    wait_still(r)
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
      go_through(r, reconstruct.before(behind(journal, image), step), step, "rewinding")
      engine.shield(function()
        cut(r, step, {step = now})
        h:repeating(false)
        reconstruct.renew(r)
      end)
    end)
    drop_undo(r._store:path())
  end)
end

local function rewind_and_tell(r, step)
  local from = r._h:status().step
  rewind(r, step)
  engine.event(r.name, "rewind", ("rewound from step %d to step %d"):format(from, step))
end

--- r:rewind(step): exactly the state after that step, paused
local function call(r, step)
  local ok, why = pcall(alone, r, "rewound", rewind_and_tell, r, step)
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
  r._h:note("rewind", ("steps %d to %d stood out: rewound to %d, left out up to %d"):format(first,
    stood_out, to, last))
  engine.event(r.name, "rewind",
    ("steps %d to %d stood out: rewound to step %d; the data of steps %d to %d are left out")
    :format(first, stood_out, to, to + 1, last))
end

--- After max_skips with auto_rewind: back to before it began, without the data of then.  What
-- cannot be done so often, or at all, ends as without auto_rewind.
function Run._auto_rewind(r)
  local first, last = r._h:rewind_wanted()
  local act = rawget(r, "_rewind_act") -- an alarm's (lua/lab/alarms.lua)
  rawset(r, "_rewind_act", nil)
  local busy = rawget(r, "_busy")
  if busy and act then
    engine.event(r.name, "note",
      ("an alarm's rewind is not done: the run is being %s"):format(busy))
  end
  if busy then return end
  if not first then return end -- someone resumed or stopped it
  if act then return act() end
  local ok, why = false, ("it was rewound %d times already"):format(TRIES)
  if (rawget(r, "_rewinds") or 0) < TRIES then
    ok, why = pcall(alone, r, "rewound", leave_out, r, first, last)
    rawset(r, "_rewinds", (rawget(r, "_rewinds") or 0) + 1)
  end
  if not ok then
    r._h:alarm("REWIND", last, ("%s; the run ends at its next such step"):format(tostring(why)))
    r._h:set("auto_rewind", false)
  end
  r._h:resume()
end

Run.methods.rewind = call

return {check_step = check_step, find = find, put_now = put_now}
