-- The configuration of a model: what model.NAME{...} was given, checked against the rows of its
-- options, and what these must be beside each other.

local forms = require "switchyard.model.feed_forward"
local lazy = require "switchyard.core.lazy"
local options = require "switchyard.core.options"
local routing = lazy "switchyard.model.routing"

local config = {}

-- The name of a router, or {name = "name", option = value} where options differ from the defaults.
local function router_of(router, own, has)
  local out
  for _, row in ipairs(router.rows) do
    local name = row[1]
    local beside = has[name] and (name == "normalize" or name == "scale")
    if not beside and own[name] ~= row[3] then
      out = out or {name = router.name}
      out[name] = own[name]
    end
  end
  return out or router.name
end

--- What router = NAME or {NAME, option = value} is kept as, and the router, for a model that has no
-- options beside it; checked beside o, {experts=, top_k=, capacity=}.
function config.router(what, given, o)
  local router = routing.find(what, given)
  local own = routing.options(what, router, given, {})
  routing.check(what, router, o, own)
  return router_of(router, own, {}), router
end

-- Whether the gates of a token sum to 1; nil: the router does not say.
local function normalize_of(router, beside, own)
  local fixed = not router.any and not routing.option(router, "normalize")
  if fixed then return router.normalized end
  return beside.normalize ~= false and rawget(own, "normalize") ~= false
end

-- router = "name" or {"name", option = value}, and balance = {...} as they are kept in cfg; has:
-- which of normalize and scale are the model's own options beside router.
local function check_routing(what, cfg, has, stored)
  local router = routing.find(what, cfg.router or "softmax")
  local beside = {normalize = has.normalize and cfg.normalize, scale = has.scale and cfg.scale}
  routing.check_beside(what, router, beside, stored)
  local own = routing.options(what, router, cfg.router, beside)
  if cfg.router then cfg.router = router_of(router, own, has) end
  if has.normalize then cfg.normalize = normalize_of(router, beside, own) end
  if has.scale then cfg.scale = beside.scale or rawget(own, "scale") or 1 end
  if type(cfg.balance) == "table" then
    cfg.balance = routing.balance(what, router, cfg.balance, stored, own)
  end
  if cfg.experts and cfg.top_k then routing.check(what, router, cfg, own) end
end

local function check_attention(what, cfg, given)
  if cfg.heads and cfg.dim and not cfg.head_dim and cfg.dim % cfg.heads ~= 0 then
    error(("%s: dim must be a multiple of heads: dim is %d%s, heads is %d%s"):format(what, cfg.dim,
      given.dim and "" or " (the default)", cfg.heads, given.heads and "" or " (the default)"), 0)
  end
  if cfg.heads and cfg.dim and (cfg.head_dim or cfg.dim // cfg.heads) % 2 ~= 0 then
    error(("%s: the width of a head must be even: it is %d"):format(what,
      cfg.head_dim or cfg.dim // cfg.heads), 0)
  end
  if cfg.heads and cfg.kv_heads and cfg.heads % cfg.kv_heads ~= 0 then
    error(("%s: heads must be a multiple of kv_heads: heads is %d, kv_heads is %d")
      :format(what, cfg.heads, cfg.kv_heads), 0)
  end
end

local function check_experts(what, cfg, rows, stored)
  if cfg.experts and cfg.top_k and cfg.top_k > cfg.experts then
    error(("%s: top_k must be at most experts: top_k is %d, experts is %d")
      :format(what, cfg.top_k, cfg.experts), 0)
  end
  if not cfg.router and type(cfg.balance) ~= "table" then return end
  local has = {}
  for _, row in ipairs(rows or {}) do has[row[1]] = true end
  check_routing(what, cfg, has, stored)
end

-- Of a model without rows: what is given, and what every model has.
local function let_through(given)
  local cfg = {}
  for k, v in pairs(given or {}) do cfg[k] = v end
  if type(cfg.vocab) == "userdata" then
    cfg.vocab_tokenizer, cfg.vocab = cfg.vocab, cfg.vocab.size
  end
  cfg.vocab, cfg.seed = cfg.vocab or 256, cfg.seed or 1
  cfg.layers, cfg.context = cfg.layers or 1, cfg.context or 256
  return cfg
end

--- config.no_effect(row, cfg, given) -> why the option of that row would have none, or nil.
-- needs = the option without which it has none, without = the one beside which it has none,
-- only = {option, value} that it is of.
function config.no_effect(row, cfg, given)
  local only = row.only
  return row.needs and not cfg[row.needs] and "without " .. row.needs
    or row.without and given[row.without] ~= nil and "beside " .. row.without
    or only and cfg[only[1]] ~= only[2] and ("with %s = '%s'"):format(only[1],
      tostring(cfg[only[1]])) or nil
end

-- What has no effect is refused where it is given, and is no part of a configuration: so that a
-- model can be made of another's.
local function check_needs(what, rows, cfg, given, stored)
  local without = {}
  for _, row in ipairs(rows) do
    local why = config.no_effect(row, cfg, given)
    if why and given[row[1]] ~= nil and not stored then
      error(("%s: %s has no effect %s"):format(what, row[1], why), 0)
    end
    without[#without + 1] = why and row[1] or nil
  end
  for _, name in ipairs(without) do cfg[name] = nil end
end

-- What a model notes of itself, true: by which rules it was made, where those of before are another
-- computation.  A new model notes it itself, whether the m.cfg that it is given says so or not.
local MARKS = {"sigmoid_mask"}

local function read_rows(what, rows, given, stored)
  if type(given) ~= "table" then return options.read(what, given, rows) end
  local plain, marks = {}, {}
  for k, v in pairs(given) do plain[k] = v end
  for _, name in ipairs(MARKS) do
    if plain[name] == true then marks[name], plain[name] = true, nil end
  end
  local cfg = options.read(what, plain, rows)
  for name, v in pairs(stored and marks or {}) do cfg[name] = v end
  return cfg
end

--- config.read(what, rows or nil, given, stored) -> the configuration, and the coefficients that
-- were given, by name.  stored: given is that of a model that was saved, perhaps by an older
-- version.
function config.read(what, rows, given, stored)
  if rows and not stored then given = routing.preferred(what, rows, given) end
  local cfg = rows and read_rows(what, rows, given, stored) or let_through(given)
  if rows then check_needs(what, rows, cfg, given or {}, stored) end
  check_attention(what, cfg, type(given) == "table" and given or {})
  local asked = {}
  for name, v in pairs(not stored and type(cfg.balance) == "table" and cfg.balance or {}) do
    asked[name] = v
  end
  check_experts(what, cfg, rows, stored)
  if rows then forms.check(what, cfg) end
  return cfg, asked
end

return config
