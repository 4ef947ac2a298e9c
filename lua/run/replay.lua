-- replay: a run repeated from its beginning with the entries of its journal, in memory, and
-- compared bit by bit: losses, gradient norm and learning rate at every stored step, parameters and
-- the optimizer's state at every checkpoint.

local engine = require "switchyard.engine"
local definition = require "switchyard.core.definition"
local options = require "switchyard.core.options"
local lazy = require "switchyard.core.lazy"
local directory = lazy "switchyard.run.directory"
local reconstruct = require "switchyard.run.reconstruct"
local Run = require("switchyard.run.run").Run
local module = {}

local rows = {
  {"step", "integer", nil, 0, 1 << 52, help = "the last to repeat; default: all that is stored"},
  {"code", "boolean", false, help = "as of train.resume"},
  {"data", "any", nil, help = "as of train.resume"},
}
module.rows = rows

local COMPARED = {"loss", "grad_norm", "lr", "val_loss"}
-- Runs from before windows were counted were evaluated on others.
local NOT_EVALUATED = {"loss", "grad_norm", "lr"}

-- Steps and values of a series as two lists; nothing when there is none.
local function flat(history)
  return history and history.shape[1] > 0 and history:view(-1):table() or {}
end

-- Compares the rows of the replay with those stored behind step `begin`, a stretch at a time.
local function comparer(store, h, begin, compared)
  local stored, at = {}, {}
  for _, name in ipairs(compared) do
    stored[name], at[name] = flat((store:history(name))), 1
  end
  return function(upto)
    local worst
    for _, name in ipairs(compared) do
      local now, was, i = flat(h:history(name)), stored[name], at[name]
      local by_step = {}
      for k = 1, #now, 2 do by_step[now[k]] = now[k + 1] end
      while was[i] and was[i] <= upto do
        local step, v, w = was[i] // 1 | 0, was[i + 1], by_step[was[i]]
        local same = w == v or w and w ~= w and v ~= v
        if step > begin and not same and (not worst or step < worst.step) then
          worst = {step = step, what = w and ("%s is %.9g, was %.9g"):format(name, w, v)
                                       or ("%s is missing, was %.9g"):format(name, v)}
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

-- Checkpoints by their steps: where they lie, and how many entries of the journal they have; and
-- the steps of those that are not whole.
local function stored(path, config)
  local list, damaged = {}, {}
  for _, c in ipairs(engine.checkpoints(path) or {}) do
    if c.ok then directory.check_id(c, config) end
    local image, gone = reconstruct.read_whole(c)
    if image then list[image.step] = {path = c.path, journal = #image.journal}
    elseif not gone then damaged[#damaged + 1] = ("%d"):format(c.step) end
  end
  return list, damaged
end

-- What is different at a checkpoint, or nil.  Its tensors count, not what it says of itself.
local function compare_state(r, c)
  local hash, why, code = r._h:stored_hash(c.path)
  if not hash then return code ~= "NOTFOUND" and why or nil end -- a live run has newer ones by now
  if r._m:_quietly(r._h.hash, r._h) ~= hash then
    return "parameters or the optimizer's state differ"
  end
end

-- Repeat everything; the first difference, or nil.  Entries of a step come before its checkpoint as
-- far as the checkpoint has them.
local function repeat_all(r, entries, checkpoints, last, differs, say)
  local h, i = r._h, 1
  local tell = reconstruct.progress(r, "replaying", say)
  local done = #h:journal()
  for _, step in ipairs(stops(entries, checkpoints, last)) do
    if step >= h:status().step then
      reconstruct.walk(r, step, last, tell)
      local worst = differs(step)
      if worst then return worst end
      local c = checkpoints[step]
      local function do_entries(most)
        while entries[i] and entries[i].step <= step and done < most do
          reconstruct.apply(r, entries[i])
          i, done = i + 1, done + 1
        end
      end
      do_entries(c and c.journal or math.huge)
      local what = c and compare_state(r, c)
      if what then return {step = step, what = what} end
      do_entries(math.huge)
    end
  end
end

-- The state in which the run began: the entries behind it, and its step.
local function begin_again(what, r, store, path, config)
  local entries, at = reconstruct.stored_journal(store), engine.checkpoints(path .. "/start") or {}
  r._h:repeating(true)
  r._h:start(true)
  if #at == 0 then
    reconstruct.check_start(what, r)
    return entries, 0
  end
  directory.check_id(at[1], config)
  local image = assert(engine.read_checkpoint(at[1].path))
  reconstruct.must_load(r, at[1].path, image, true)
  return reconstruct.behind(entries, image), image.step
end

-- What is said: worst, the first difference, or nil.
local function text_of(r, config, worst, last, damaged)
  local parts = {("identical through step %d"):format(last)}
  if worst then
    local kernels = directory.kernels_differ(config)
    parts[1] = ("differs first at step %d: %s%s%s"):format(worst.step, worst.what,
      kernels and "; " .. kernels or "", definition.changed(config.defined, r._m._definitions))
  elseif not config.order then
    parts[2] = "val_loss is not compared: the run is of a version that evaluated on other windows"
  end
  if #damaged > 0 then
    parts[#parts + 1] = ("not compared, for it is damaged: the checkpoint of step %s")
      :format(table.concat(damaged, ", "))
  end
  return table.concat(parts, "; ")
end

local function repeated(name_or_dir, given, say)
  local what = "replay"
  local o = options.read(what, given, rows)
  local store, name = reconstruct.open(what, name_or_dir, false)
  local close <close> = setmetatable({}, {__close = function() store:close() end})
  local live = Run._live(name)
  if live and live._store then live._store:flush() end
  local path = store:path()
  local config, info = directory.read(what, store)
  local last = o.step or info.step
  if last > info.step then
    error(("%s: step is %d, the run is stored through step %d"):format(what, last, info.step), 0)
  end
  local r = reconstruct.make(what, path, config, name, o)
  local ended <close> = setmetatable({},
    {__close = function() engine.shield(function() r._h:close() end) end})
  local entries, begin = begin_again(what, r, store, path, config)
  local checkpoints, damaged = stored(path, config)
  local compare = comparer(store, r._h, begin, config.order and COMPARED or NOT_EVALUATED)
  local worst = repeat_all(r, entries, checkpoints, last, compare, say)
  return setmetatable({
    name = name, identical = not worst, step = worst and worst.step or last,
    difference = worst and worst.what, hash = r._m:_quietly(r._h.hash, r._h),
    text = text_of(r, config, worst, last, damaged),
  }, {__tostring = function(t)
    return engine.clean(("replay of %s: %s"):format(t.name, t.text))
  end})
end

--- The same as replay; progress goes to say(text) instead of events.
function module.telling(name_or_dir, given, say)
  return options.call(repeated, name_or_dir, given, say)
end

--- replay(name or directory, {step=, code=, data=}) -> {identical=, step=, difference=, text=}
function module.replay(name_or_dir, given)
  return options.call(repeated, name_or_dir, given)
end

return module
