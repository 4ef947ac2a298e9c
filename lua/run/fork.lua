-- r:fork{step=}: a new run that begins with the state of another after a step.  The parent is
-- untouched and may train on meanwhile.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local reconstruct = require "switchyard.run.reconstruct"
local Run = require("switchyard.run.run").Run
local train = require "switchyard.run.train"
local rewind = require "switchyard.run.rewind"

local behind, guarded, alone, must_load = reconstruct.behind, reconstruct.guarded,
  reconstruct.alone, reconstruct.must_load
local go_through, make = reconstruct.go_through, reconstruct.make
local check_step, find, put_now = rewind.check_step, rewind.find, rewind.put_now

local rows = {
  {"step", "integer", nil, 0, 1 << 52, help = "after which it leaves the parent; default: now"},
  {"name", "string", nil, help = "of the new run; default: two words"},
  {"paused", "boolean", false, help = "wait for r:resume()"},
}

-- The parent as it is now: its step and journal; without a step of its own the fork begins with
-- that.
local function look(r, o, store)
  local h = r._h
  h:hold()
  local guard <close> = setmetatable({}, {__close = function() h:release() end})
  h:settle()
  local now, journal = h:status().step, h:journal()
  check_step("fork", o.step or now, now)
  if o.step then return o.step, reconstruct.before(journal, o.step) end
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
  for _, e in ipairs(journal) do store:add_entry(e) end
  go_through(child, behind(journal, image), step, "forking")
  h:repeating(false)
  reconstruct.renew(child)
  store:add("events", step, "fork", ("of %s at step %d"):format(r.name, step))
  store:flush()
end

local function fork(r, given)
  local o = options.read("fork", given, rows)
  if not r._store then error(("fork: run '%s' has no directory"):format(r.name), 0) end
  Run._check_goes_on(r, "fork")
  o.name = o.name or train.fresh_name()
  Run._check_name("fork", o.name)
  check_step("fork", o.step or 0, r._h:status().step)
  local store, child
  local function undo()
    if not store then return end -- nothing there is ours
    if child then rawset(child, "_store", nil) end -- its lock holds until nothing is left
    if child then
      (Run._live(o.name) and child.close or child._h.close)(Run._live(o.name) and child or child._h)
    end
    store:remove()
    store:close()
  end
  guarded(undo, function()
    local taken
    store, taken = directory.claim(o.name)
    if not store then error("fork: " .. taken, 0) end
    local step, journal, from, image = look(r, o, store)
    if not from then from, image = share(r, step, store) end
    local begun = from:sub(#store:path() + 1) -- the directory gets its name yet
    local config = {}
    for k, v in pairs(r._config) do config[k] = v end
    config.parent, config.begins = r.name, image.step
    child = make("fork", r._store:path(), config, o.name, {data = r._d})
    local ok, why = directory.create(child, {config = config, parent = r.name, parent_step = step,
                                             store = store})
    if not ok then error("fork: " .. why, 0) end
    alone(child, "forked", fill_fork, child, r, store:path() .. begun, image, journal, step)
  end)
  if not o.paused then child._h:resume() end
  return child
end

--- r:fork{step=, name=, paused=} -> a new run from that step, training at once; r is untouched
local function call(r, given)
  return options.call(fork, r, given)
end

Run.methods.fork = call

return {rows = rows}
