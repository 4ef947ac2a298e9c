-- Tokens that always or never go to an expert: what r.layers[l].experts[e]:force{ids} and
-- :forbid{ids} leave with a model.  V vocabulary, E experts, K experts a token, N tokens.
--
--     m._rules = {[path of the mixture] = {["5"] = {force = {0, 7}, forbid = {3}}}}
--
-- as JSON has it, for a run's directory and a model's config.json; nil: there are none.
--
--  1. A model without rules has not one operation more: programs and hashes are what they were.
--  2. A rule works on what chooses (ctx:choose, ctx:take), the gates are the router's own: a forced
--     expert is weighed by its score, whatever that is, and the gradient flows as ever.
--  3. What a rule is of is traced as a constant: another rule is another program.

local engine = require "switchyard.engine"
local rules = {}

local KINDS = {"force", "forbid"}
-- rules of a mixture -> (V,E): 1 forced, -1 forbidden
local tables = setmetatable({}, {__mode = "k"})

--- The rules of one expert: {force =, forbid =}, lists of ids or nil.
function rules.of(m, path, e)
  local mixture = m._rules and m._rules[path]
  return mixture and mixture[tostring(e)] or {}
end

--- All with this one: ids in place of what `kind` said of expert e; none: as if it had said
-- nothing.  Returns what m._rules is then; all is left as it was.
function rules.with(all, path, e, kind, ids)
  local out, key = {}, tostring(e)
  for p, mixture in pairs(all or {}) do out[p] = mixture end
  local mixture = {}
  for k, v in pairs(out[path] or {}) do mixture[k] = v end
  local one = {}
  for k, v in pairs(mixture[key] or {}) do one[k] = v end
  one[kind] = #ids > 0 and ids or nil
  mixture[key] = next(one) and one or nil
  out[path] = next(mixture) and mixture or nil
  return next(out) and out or nil
end

--- The same of two that change places.
function rules.swapped(all, path, a, b)
  local was = all and all[path]
  if not was then return all end
  local out, mixture = {}, {}
  for p, v in pairs(all) do out[p] = v end
  for k, v in pairs(was) do mixture[k] = v end
  mixture[tostring(a)], mixture[tostring(b)] = was[tostring(b)], was[tostring(a)]
  out[path] = mixture
  return out
end

--- Ids that some rule of a mixture is of: {[id] = {force = {experts}, forbid = {experts}}}.
function rules.by_id(mixture)
  local out = {}
  for key, one in pairs(mixture or {}) do
    for _, kind in ipairs(KINDS) do
      for _, id in ipairs(one[kind] or {}) do
        out[id] = out[id] or {force = {}, forbid = {}}
        table.insert(out[id][kind], math.tointeger(key) or tonumber(key))
      end
    end
  end
  return out
end

-- (V,E): made once, outside of what is recorded.
local function table_of(m, mixture, E)
  if not tables[mixture] then
    local t, list = engine.zeros {m.cfg.vocab, E}, {}
    local values = {}
    for id, of in pairs(rules.by_id(mixture)) do
      for e = 1, E do values[e] = 0 end
      for _, e in ipairs(of.force) do values[e] = 1 end
      for _, e in ipairs(of.forbid) do values[e] = -1 end
      list[#list + 1] = {id, table.move(values, 1, E, 1, {})}
    end
    for _, row in ipairs(list) do engine.put(t[row[1] + 1], row[2]) end
    tables[mixture] = t
  end
  return tables[mixture]
end

--- Tables are made before anything is recorded that needs them.
function rules.prepare(m)
  for _, list in pairs(m._rules and m._moe or {}) do
    for _, moe in ipairs(list) do
      if m._rules[moe.path] then table_of(m, m._rules[moe.path], moe.experts) end
    end
  end
end

--- The table of a mixture that is being recorded, or nil.
function rules.table(m, path, E)
  local mixture = m._rules and m._rules[path]
  return mixture and table_of(m, mixture, E)
end

--- Scores (N,n) by which the K largest obey the rules; n may be more than E.  t: rules.table.
function rules.scores(ctx, t, scores)
  local rule = t:embedding(ctx:ids())
  local forced = rule * ctx:enabled() -- a disabled one is, whatever is forced to it
  local more = scores.shape[2] - ctx.E
  if more > 0 then rule, forced = rule:pad(2, 0, more), forced:pad(2, 0, more) end
  local best, worst = tensor.full({1}, math.huge), tensor.full({1}, -math.huge)
  return forced:gt(0.5):where(best, rule:lt(-0.5):where(worst, scores))
end

--- The same of experts (N,K) that another rule than the K largest chose: what is forbidden gives
-- way to the largest logit of the others, or where there are none to the lowest number; the last
-- choice gives way to what is forced.
function rules.taken(ctx, t, experts)
  local K, rank = experts.shape[2], nil
  for j = 1, K do
    local is = ctx:numbers():eq(experts:narrow(2, j, 1)):cast "f32" * (K + 1 - j)
    rank = rank and rank + is or is
  end
  if ctx._raw and ctx._raw.shape[2] == ctx.E then
    rank = rank + (ctx._raw + ctx:mask()):softmax(-1) * 0.5
  end
  local off = ctx:mask():eq(0):where(tensor.zeros(1), tensor.full({1}, -math.huge))
  return (select(2, rules.scores(ctx, t, rank + off):topk(K, -1)))
end

--- What is wrong with these rules of a mixture, or nil: a token would have more experts than K
-- forced on it, or fewer to choose among.  reach(on): of enabled ones (a list of true).
function rules.wrong(mixture, E, K, enabled, reach)
  for id, of in pairs(rules.by_id(mixture)) do
    local on, forced, both = table.move(enabled, 1, E, 1, {}), 0, {}
    for _, e in ipairs(of.force) do
      both[e] = true
      forced = forced + 1
    end
    for _, e in ipairs(of.forbid) do
      if both[e] then
        return ("token %d would be both forced to expert %d and kept from it"):format(id, e)
      end
      on[e] = false
    end
    if forced > K then
      return ("token %d would be forced to %d experts, and has %d"):format(id, forced, K)
    end
    local left = reach(on)
    if left < K then
      return ("token %d would have %d of %d experts to choose among, and needs %d"):format(id, left,
        E, K)
    end
  end
end

-- A list of token ids under V, none twice.
local function is_ids(list, V)
  local seen = {}
  for _, id in ipairs(type(list) == "table" and list or {}) do
    if math.type(id) ~= "integer" or id < 0 or id >= V or seen[id] then return false end
    seen[id] = true
  end
  return type(list) == "table" and next(seen) ~= nil
end

local function is_rules(one, V)
  for kind, ids in pairs(one) do
    if kind ~= "force" and kind ~= "forbid" or not is_ids(ids, V) then return false end
  end
  return true
end

--- What a file says are a model's rules; nil: it says none, or what cannot be.
function rules.read(m, all)
  if type(all) ~= "table" then return nil end
  local sizes = {}
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do sizes[moe.path] = moe.experts end
  end
  for path, mixture in pairs(all) do
    for key, one in pairs(type(mixture) == "table" and mixture or {key = false}) do
      local e = tonumber(key)
      if not (sizes[path] and math.type(e) == "integer" and e >= 1 and e <= sizes[path]
        and type(one) == "table" and is_rules(one, m.cfg.vocab)) then
        return nil
      end
    end
  end
  return all
end

return rules
