-- m:accuracy: how many targets of a data set's validation part are the likeliest token, over the
-- windows that m:loss takes, of all and of each source of the data.

local engine = require "switchyard.engine"
local lazy = require "switchyard.core.lazy"
local nn = require "switchyard.model.nn"
local show = lazy "switchyard.prompt.show"
local accuracy = {}

-- How often each of n numbers occurs where targets count.
local function count_of(numbers, counts, n)
  return counts:where(numbers, tensor({n}, {dtype = "i32"})):bincount(n + 1)
end

-- (S) each: targets of each source, and those of them that are right.
local function program(m, B, T, data, by)
  local S = math.max(#data.sources, 1)
  local padded = nn._pads_of(data, by) and ".padded" or ""
  return m:_program(("accuracy.%d.%d.%d%s"):format(S, B, T, padded), function()
    local all, right
    local d = m:_record({mode = "eval", data = data, objectives = by}, B, T, function(d)
      local targets = d.batch.targets:view(-1)
      local source = S > 1 and d.batch.sources:view(-1) or tensor.zeros({B * T}, {dtype = "i32"})
      local is_right = (m.logits_of(d.result):argmax(-1) - 1):eq(targets)
      all = count_of(source, targets:ge(0), S)
      right = count_of(source, is_right, S)
    end)
    return {run = engine.program(d.graph, {all, right}), d = d, all = all, right = right}
  end, true)
end

local function add(sum, counts)
  for i, n in ipairs(counts:table()) do sum[i] = (sum[i] or 0) + n end
end

-- What print shows of {source = share}: a row a source.
local Shares = {__tostring = function(of)
  local names, rows = {}, {}
  for name in next, of do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do rows[i] = {source = name, accuracy = of[name]} end
  return show.columns(rows, {"source", "accuracy"})
end}

--- accuracy.of(m, data set, {batches=, batch=, context=}, objectives) -> share, {source = share},
-- nothing second of data without sources
function accuracy.of(m, data, o, by)
  local T, all, right = o.context or m.cfg.context, {}, {}
  local p = program(m, o.batch, T, data, by)
  m:_write_inputs(p.d)
  local n, at = engine.eval_windows(data, T, o.batches, m:_inputs(), by), 0
  local whole = engine.eval_tally(data, T, n, m:_inputs(), by)
  while at < n do
    at = at + engine.eval_batch(data, at, n, p.d.fields, by, whole)
    p.run:run()
    add(all, p.all)
    add(right, p.right)
  end
  local targets, hits, of = 0, 0, {}
  for i = 1, #all - 1 do -- the last counts those that are none
    targets, hits = targets + all[i], hits + right[i]
    if data.sources[i] and all[i] > 0 then of[data.sources[i]] = right[i] / all[i] end
  end
  if #data.sources == 0 then return hits / targets end
  return hits / targets, setmetatable(of, Shares)
end

return accuracy
