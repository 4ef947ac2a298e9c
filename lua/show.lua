-- How the prompt prints values: strings as they are, tables a few levels deep, all else by tostring.

local show = {}

local DEPTH, ITEMS, WIDTH = 3, 24, 76

local function is_name(k) return type(k) == "string" and k:match "^[%a_][%w_]*$" end

local function has_tostring(v)
  local meta = debug.getmetatable(v)
  return type(meta) == "table" and rawget(meta, "__tostring") ~= nil
end

local function key_order(a, b)
  local x, y = type(a), type(b)
  if x ~= y then return x < y end
  if x == "number" or x == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local text

local function brief(v, depth, seen)
  if type(v) == "function" then return "function" end
  if type(v) == "string" then
    local q = string.format("%q", #v > 200 and v:sub(1, 200) .. "…" or v)
    return (q:gsub("\\\n", "\\n"))
  end
  local s = text(v, depth, seen)
  if type(v) == "userdata" then s = s:match "^[^\n]*" end
  return s
end

local function items_of(t, depth, seen)
  local items, n, count = {}, #t, 0
  for i = 1, math.min(n, ITEMS) do items[i] = brief(t[i], depth + 1, seen) end
  if n > ITEMS then items[#items + 1] = "… " .. n - ITEMS .. " more" end
  local keys = {}
  for k in next, t do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then keys[#keys + 1] = k end
  end
  table.sort(keys, key_order)
  for i, k in ipairs(keys) do
    count = i
    if i > ITEMS then
      items[#items + 1] = "… " .. #keys - ITEMS .. " more"
      break
    end
    local name = is_name(k) and k or "[" .. brief(k, depth + 1, seen) .. "]"
    items[#items + 1] = name .. " = " .. brief(t[k], depth + 1, seen)
  end
  return items
end

local function table_text(t, depth, seen)
  if seen[t] then return "{… itself}" end
  if next(t) == nil then return "{}" end
  if depth >= DEPTH then return "{…}" end
  seen[t] = true
  local items = items_of(t, depth, seen)
  seen[t] = nil
  local line = "{" .. table.concat(items, ", ") .. "}"
  if #line + 2 * depth <= WIDTH and not line:find "\n" then return line end
  local pad = string.rep("  ", depth + 1)
  return "{\n" .. pad .. table.concat(items, ",\n" .. pad) .. "\n" .. string.rep("  ", depth) .. "}"
end

function text(v, depth, seen)
  if type(v) == "table" and not has_tostring(v) then return table_text(v, depth, seen) end
  return tostring(v)
end

--- Text of one value on one line.
function show.brief(v)
  local line = brief(v, DEPTH - 1, {}):gsub("%s*\n.*$", "")
  return line
end

--- Text of one value, as the prompt shows it.
function show.text(v) return text(v, 0, {}) end

--- Print values, one line each unless all are short.
function show.values(...)
  local n, parts, long = select("#", ...), {}, 0
  for i = 1, n do
    parts[i] = show.text((select(i, ...)))
    long = long + #parts[i] + 2
    if parts[i]:find "\n" then long = WIDTH end
  end
  if n == 1 and parts[1] == "nil" then return end -- a call without a value says nothing
  if n == 3 and ... == nil then long = 0 end -- nil, message, code: one line
  print(table.concat(parts, long < WIDTH and "  " or "\n"))
end

return show
