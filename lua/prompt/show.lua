-- How the prompt prints values: strings as they are but for what a terminal would obey
-- (engine.clean), tables a few levels deep, lists of records by columns, all else by tostring.
-- Keys stand in a fixed order; a table inside itself is marked.  Lines fit the width of the
-- terminal.

local engine = require "switchyard.engine"

local show = {}

local DEPTH, ITEMS = 3, 24
local ROWS, EDGE = 40, 16 -- of a list of records: more are elided after and before EDGE
local COLUMNS, CELL = 12, 40

local function width() return math.max(20, engine.columns()) - 4 end

local function is_name(k) return type(k) == "string" and k:match "^[%a_][%w_]*$" end

local list_text = rawget(getmetatable(engine.list {}), "__tostring") -- is made here

local function has_tostring(v)
  local meta = debug.getmetatable(v)
  local made = type(meta) == "table" and rawget(meta, "__tostring")
  return made and made ~= list_text
end

local function key_order(a, b)
  local x, y = type(a), type(b)
  if x ~= y then return x < y end
  if x == "number" or x == "string" then return a < b end
  return tostring(a) < tostring(b)
end

-- Characters, for alignment.
local function length(s) return utf8.len(s) or #s end

--- The first n characters, with … for what is cut.
function show.clip(s, n)
  if length(s) <= n then return s end
  local at = utf8.len(s) and utf8.offset(s, n) or n
  return s:sub(1, at - 1) .. "…"
end
local clip = show.clip

local text

local function number_text(v)
  if math.type(v) ~= "float" or v ~= v or v == math.floor(v) and math.abs(v) < 1e15 then
    return tostring(v)
  end
  return ("%.7g"):format(v)
end

-- Of what is to be cut (cut = true in its metatable) each line as far as there is room.
local function cut_lines(s)
  local lines = {}
  for line in s:gmatch "[^\n]+" do lines[#lines + 1] = clip(line, width() + 4) end
  return table.concat(lines, "\n")
end

local function brief(v, depth, seen)
  if type(v) == "function" then return "function" end
  if type(v) == "string" then
    local q = string.format("%q", #v > 200 and clip(v, 200) or v)
    return engine.clean((q:gsub("\\\n", "\\n")))
  end
  local s = text(v, depth, seen)
  if type(v) == "userdata" or has_tostring(v) then s = s:match "^[^\n]*" end
  return s
end

-- Keys of t that are not 1..n, sorted.
local function other_keys(t, n)
  local keys = {}
  for k in next, t do
    if not (math.type(k) == "integer" and k >= 1 and k <= n) then keys[#keys + 1] = k end
  end
  table.sort(keys, key_order)
  return keys
end

local function items_of(t, depth, seen)
  local items, n = {}, rawlen(t)
  local scalar = true
  for i = 1, math.min(n, 4 * ITEMS) do
    scalar = scalar and type(rawget(t, i)) ~= "table"
    if not scalar and i > ITEMS then break end
    items[i] = brief(rawget(t, i), depth + 1, seen)
  end
  if n > #items then items[#items + 1] = "… " .. n - #items .. " more" end
  local keys = other_keys(t, n)
  local fill = scalar and #keys == 0
  for i, k in ipairs(keys) do
    if i > ITEMS then
      items[#items + 1] = "… " .. #keys - ITEMS .. " more"
      break
    end
    local name = is_name(k) and k or "[" .. brief(k, depth + 1, seen) .. "]"
    items[#items + 1] = name .. " = " .. brief(rawget(t, k), depth + 1, seen)
  end
  return items, fill
end

-- Items side by side, as many as fit in a line.
local function filled(items, pad)
  local lines, line = {}, ""
  for i, item in ipairs(items) do
    item = item .. (i < #items and "," or "")
    if line ~= "" and length(line) + 1 + length(item) + #pad > width() then
      lines[#lines + 1] = line
      line = ""
    end
    line = line == "" and item or line .. " " .. item
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. pad)
end

local function table_text(t, depth, seen)
  if seen[t] then return "{… itself}" end
  if next(t) == nil then return "{}" end
  if depth >= DEPTH then return "{…}" end
  seen[t] = true
  local items, fill = items_of(t, depth, seen)
  seen[t] = nil
  local line = "{" .. table.concat(items, ", ") .. "}"
  if length(line) + 2 * depth <= width() and not line:find "\n" then return line end
  local pad = string.rep("  ", depth + 1)
  local body = fill and filled(items, pad) or table.concat(items, ",\n" .. pad)
  return "{\n" .. pad .. body .. "\n" .. string.rep("  ", depth) .. "}"
end

function text(v, depth, seen)
  if type(v) == "table" and not has_tostring(v) then return table_text(v, depth, seen) end
  if type(v) == "number" and depth > 0 then return number_text(v) end
  return tostring(v)
end

-- ---- lists of records ----

-- Names of the columns of a list of plain tables that have names for keys; nil: it is no such list.
local function columns_of(t)
  local n, names, known = rawlen(t), {}, {}
  if n < 1 or #other_keys(t, n) > 0 then return nil end
  for i = 1, math.min(n, 1000) do
    local record = rawget(t, i)
    if type(record) ~= "table" or debug.getmetatable(record) or next(record) == nil then
      return nil
    end
    for k, v in next, record do
      if not is_name(k) or type(v) == "table" and not has_tostring(v) then return nil end
      if not known[k] then
        known[k] = true
        names[#names + 1] = k
      end
    end
  end
  if #names > COLUMNS then return nil end
  local first = {number = 1, name = 2, step = 3, text = 10}
  table.sort(names, function(a, b)
    local x, y = first[a] or 9, first[b] or 9
    if x ~= y then return x < y end
    return a < b
  end)
  return names
end

local function cell(v, most)
  if v == nil then return "" end
  if type(v) == "number" then return number_text(v) end
  local s = type(v) == "string" and engine.clean((v:gsub("%s", " "))) or brief(v, DEPTH - 1, {})
  return clip(s, most)
end

-- The widths of columns, the widest cut until all fit; a text comes last in that.
local function fit(widths, names)
  local room = width() + 6 - 2 * #widths
  local function cut(least, keep)
    while true do
      local sum, widest = 0, nil
      for i, w in ipairs(widths) do
        sum = sum + w
        if i ~= keep and (not widest or w > widths[widest]) then widest = i end
      end
      if sum <= room then return true end
      if not widest or widths[widest] <= least then return false end
      widths[widest] = widths[widest] - math.min(sum - room, math.max(1, widths[widest] - least))
    end
  end
  return cut(10, names[#names] == "text" and #names or nil) or cut(8)
end

local function pad(s, n, right)
  s = clip(s, n)
  local space = (" "):rep(n - length(s))
  return right and space .. s or s .. space
end

local TEXT_LINES = 4

-- A text by words in lines of n characters, the last cut.
local function broken(s, n)
  local lines = {}
  while length(s) > n and #lines < TEXT_LINES - 1 and utf8.len(s) do
    local head = s:sub(1, utf8.offset(s, n + 1) - 1)
    local at = head:match "^.*%f[%s]()" or 1
    if at <= n // 2 then at = #head + 1 end
    lines[#lines + 1] = s:sub(1, at - 1)
    s = s:sub(at):gsub("^%s+", "")
  end
  lines[#lines + 1] = s
  return lines
end

--- Text of a list of records under names of columns; numbers stand at the right, a column "text" at
-- the end is broken into lines.
function show.columns(t, names)
  local rows, widths, right = {}, {}, {}
  local n = #t
  for c, name in ipairs(names) do widths[c], right[c] = length(name), true end
  for i = 1, n do
    if n <= ROWS or i <= EDGE or i > n - EDGE then
      local row = {}
      for c, name in ipairs(names) do
        local v = t[i][name]
        row[c] = cell(v, name == "text" and TEXT_LINES * width() or CELL)
        widths[c] = math.max(widths[c], length(row[c]))
        right[c] = right[c] and (v == nil or type(v) == "number")
      end
      rows[#rows + 1] = row
    elseif i == EDGE + 1 then
      rows[#rows + 1] = false
    end
  end
  fit(widths, names)
  local lines = {}
  local function line(row)
    local cells = {}
    local last = names[#row] == "text" and broken(row[#row], widths[#row]) or {row[#row]}
    for k, piece in ipairs(last) do
      for c, s in ipairs(row) do
        local v = c == #row and piece or k == 1 and s or ""
        cells[c] = pad(v, widths[c], right[c])
      end
      lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
    end
  end
  line(names)
  for _, row in ipairs(rows) do
    if row then line(row) else lines[#lines + 1] = ("… %d more"):format(n - 2 * EDGE) end
  end
  return table.concat(lines, "\n")
end

-- ---- values ----

--- Text of one value on one line.
function show.brief(v)
  local line = brief(v, DEPTH - 1, {}):gsub("%s*\n.*$", "")
  return line
end

--- Text of one value, as the prompt shows it.
function show.text(v)
  local meta = debug.getmetatable(v)
  if type(v) == "function" or type(v) == "table" and type(meta) == "table" and rawget(meta,
    "__call") and not has_tostring(v) then
    local signature, sentence = require("switchyard.help.help").brief(v)
    if signature then
      return clip(signature, width() + 4) .. "\n" .. clip("    " .. sentence, width() + 4)
    end
  end
  if type(v) == "table" and not has_tostring(v) then
    local names, line = columns_of(v), text(v, 0, {})
    if names and (#v > 1 or line:find "\n") then return show.columns(v, names) end
    return line
  end
  local whole = text(v, 0, {})
  return type(v) == "table" and meta and rawget(meta, "cut") and cut_lines(whole) or whole
end

-- What has colours of its own (painted(v, pens) in its metatable) where the terminal has some.
local function painted(v)
  local meta = type(v) == "table" and debug.getmetatable(v)
  local f = type(meta) == "table" and rawget(meta, "painted")
  local pens = f and engine.pens()
  return pens and f(v, pens)
end

--- Print values, one line each unless all are short.
function show.values(...)
  local n, parts, long = select("#", ...), {}, 0
  for i = 1, n do
    local v = select(i, ...)
    parts[i] = painted(v) or engine.clean(show.text(v))
    long = long + length(parts[i]) + 2
    if parts[i]:find "\n" then long = math.huge end
  end
  if n == 1 and parts[1] == "nil" then return end -- a call without a value says nothing
  if n == 3 and ... == nil then long = 0 end -- nil, message, code: one line
  print(table.concat(parts, long < width() and "  " or "\n"))
end

return show
