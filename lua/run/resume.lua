-- train.resume: a run goes on in another process, or after a kill -9.
--
--     step-400 --- x: lr at 520 --- 640, killed
--     load step-400, repeat the steps up to the last entry of the journal (x), go on
--
-- The state is made again from the nearest checkpoint and the journal (lua/run/reconstruct.lua).

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local alarms = lazy "switchyard.lab.alarms"
local reconstruct = require "switchyard.run.reconstruct"
local Run = require("switchyard.run.run").Run

local base, behind, guarded, alone = reconstruct.base, reconstruct.behind, reconstruct.guarded,
  reconstruct.alone
local go_through, stored_journal, check_start, make =
  reconstruct.go_through, reconstruct.stored_journal, reconstruct.check_start, reconstruct.make
local has_effect = reconstruct.has_effect

local rows = {
  {"steps", "integer", nil, 0, 10 ^ 12 // 1, help = "steps of the whole run from now on"},
  {"force", "boolean", false,
   help = "go on although data, tokenizer or program changed; the journal says so"},
  {"code", "boolean", false,
   help = "run the stored script up to its first train(), and what was typed behind that and "
     .. "defines something"},
  {"data", "any", nil, help = "the data set, where it cannot be read again"},
  {"paused", "boolean", false, help = "wait for r:resume()"},
}

-- Changes that a checkpoint has and the store has not: the run was killed, or its disk was full,
-- before they were there.
local function complete(store, entries)
  local known = {}
  local function key(e)
    return ("%d %s %s %s %d"):format(e.step, e.kind, e.key or "", e.value, e.expert or 0)
  end
  for _, e in ipairs(stored_journal(store)) do known[key(e)] = (known[key(e)] or 0) + 1 end
  for _, e in ipairs(entries) do
    local k = key(e)
    if (known[k] or 0) > 0 then known[k] = known[k] - 1
    elseif has_effect(e) then store:add_entry(e) end
  end
end

-- The state that the checkpoint gives, in a trainer that has no thread yet; nothing on the disk is
-- changed.  p: the checkpoint (from, image); changed: what is not as it was.  Returns
-- why it is not that state (force), or nil.
local function load_state(what, r, p, changed, force)
  if not p.from then check_start(what, r) end
  local ok, why, code = not changed, changed, "STATE"
  if p.from and ok then ok, why, code = reconstruct.load(r, p.from, p.image, false) end
  if not ok and not (force and code == "STATE") then error(why, 0) end
  return not ok and why or nil
end

-- The same by force, and the journal says so.
local function force_state(r, p, why)
  local h = r._h
  if p.from then reconstruct.reshape(r, p.from, p.image) end
  h:repeating(false)
  if p.from then
    assert(h:load(p.from, true))
    reconstruct.read_inputs(r)
  else
    h:record{kind = "resume", key = r._d.hash ~= r._config.data.hash and "data" or nil, text = why}
  end
  h:repeating(true)
end

-- From here on the directory is that of a run that goes on from step `at`.
local function cut_behind(r, store, at, loaded)
  -- damaged; not to be found whole on a better day
  for _, c in ipairs(engine.checkpoints(store:path()) or {}) do
    if c.step > at then os.rename(c.path, c.path .. ".damaged") end
  end
  -- these rows come again, and may be others if something is changed on the way
  store:truncate(at, false)
  store:restore(r._h, at)
  if loaded then complete(store, r._h:journal()) end
end

-- The run writes into its directory again.
local function take_directory(h, store, config, info)
  local path = store:path()
  h:set_config(info.config, config.id)
  reconstruct.drop_undo(path) -- of a rewind that was killed
  assert(h:set_dir(path, config.train.keep, config.train.keep_every))
  assert(store:attach(h))
end

local OTHERS =
  ", by the data order of the version that began it; evaluations see other windows than there"

local function tell_resumed(r, store, at)
  local now = r._h:status().step
  store:add("events", now, "resume", ("from step %d"):format(at))
  engine.event(r.name, "resume", ("resumed at step %d"):format(at) ..
    (now > at and (", repeated up to %d, where its last change was"):format(now) or "") ..
    (r._config.order and "" or OTHERS))
end

-- What the directory has of the run's past: config, info, journal, the checkpoint that it goes on
-- from (from, image; nil: none), and the entries behind that.
local function read_past(what, store, o)
  local path, config, info = store:path(), directory.read(what, store)
  for _, dir in ipairs {path, path .. "/start"} do
    for _, c in ipairs(engine.checkpoints(dir) or {}) do
      if c.ok then directory.check_id(c, config) end
    end
  end
  local p = {config = config, info = info, journal = stored_journal(store)}
  p.from, p.image = base(path, config)
  p.entries = p.from and behind(p.journal, p.image) or p.journal
  for _, e in ipairs(p.entries) do
    if e.wrong then error(("journal: step %d: %s"):format(e.step, e.wrong), 0) end
  end
  -- the store is behind it by a second, if the run was killed
  local now = math.max(info.step, p.image and p.image.step or 0)
  if o.steps and o.steps < now then
    error(("%s: steps is %d, the run is at step %d already"):format(what, o.steps, now), 0)
  end
  return p
end

-- r, which has no thread yet, becomes what the run was, and goes on.  done: how far that came.
local function take_up(what, r, store, p, o, done)
  Run._check_end(r, o.steps)
  local h, info, changed = r._h, p.info, directory.difference(p.config, r._m, r._d)
  if changed and not o.force then
    error(("%s: %s; {force = true} (--force) goes on all the same"):format(what, changed), 0)
  end
  h:repeating(true) -- before its thread may tell that it is paused
  local why = load_state(what, r, p, changed, o.force)
  local from = p.from and p.image.step or 0
  done.taken = true
  take_directory(h, store, p.config, info)
  Run._launch(r)
  done.launched = true
  alone(r, "resumed", function()
    done.begun = true
    if why then force_state(r, p, why) end
    cut_behind(r, store, from, p.from)
    -- A change that is made now comes after what had been done.
    go_through(r, p.entries, o.steps and math.max(info.step, from) or nil, "repeating")
    h:repeating(false)
  end)
  reconstruct.renew(r)
  tell_resumed(r, store, from)
  for _, e in ipairs(store:entries "samples" or {}) do
    r.samples[#r.samples + 1] = {step = e.step, text = e.text}
  end
  alarms.again(r)
  if o.steps then Run._set_steps(r, o.steps, not o.paused) end
  if not o.paused then h:resume() end
end

local function go_on(what, store, name, o)
  local done = {}
  local p = read_past(what, store, o) -- before anything is made
  local r = make(what, store:path(), p.config, name, o)
  rawset(r, "_store", store)
  guarded(function()
    if done.taken and not done.begun then -- the store says of the run what it said before
      store:detach()
      store:status(p.info)
    end
    if done.launched then r:close() else r._h:close() end
  end, take_up, what, r, store, p, o, done)
  return r
end

local function resume(what, name_or_dir, given)
  engine.check_alive(what)
  local o = options.read(what, given, rows)
  local _, name = directory.locate(what, name_or_dir)
  if Run._live(name) then
    error(("%s: run '%s' is open in this session: r = runs %q; r:resume()")
      :format(what, name, name), 0)
  end
  local store
  store, name = reconstruct.open(what, name_or_dir, true)
  return guarded(function() store:close() end, go_on, what, store, name, o)
end

--- train.resume(name or directory, {steps=, force=, code=, data=, paused=}) -> run
local function call(name_or_dir, given)
  return options.call(resume, "train.resume", name_or_dir, given)
end

--- The same for `switchyard resume`: its messages begin with the command's name.
local function command(name_or_dir, given)
  return options.call(resume, "resume", name_or_dir, given)
end

return {resume = call, command = command, rows = rows}
