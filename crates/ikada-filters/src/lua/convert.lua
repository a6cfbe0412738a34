-- Stands around the script's function: a record comes in as one string and goes back as one, which LuaJIT itself turns into tables and back.
local array, null, call, takes_metadata = ...
local buffer = require("string.buffer")
local type, rawget, next, tonumber, pcall, raise = type, rawget, next, tonumber, pcall, error
local getmetatable, setmetatable = getmetatable, setmetatable

local known = { metatable = { array } }
local coming, going = buffer.new(known), buffer.new(known)
local set, decode = coming.set, coming.decode
local reset, encode, get, free = going.reset, going.encode, going.get, going.free

-- A buffer that has grown beyond this is given back.
local ROOM = 65536
-- Tables may be nested so deep.
local DEPTH = 60

-- A copy without functions and the like: as values they are null, as keys they are left out.
local function plain(value, depth)
  local kind = type(value)
  if kind == "string" or kind == "number" or kind == "boolean" then
    return value
  elseif kind == "cdata" then
    return tonumber(value) or null
  elseif kind ~= "table" then
    return null
  elseif depth > DEPTH then
    raise("the script returned a table that is nested too deep, or contains itself", 0)
  end
  local copy = getmetatable(value) == array and setmetatable({}, array) or {}
  for key, item in next, value do
    local of = type(key)
    if of == "string" or of == "number" or of == "boolean" then
      copy[key] = plain(item, depth + 1)
    end
  end
  return copy
end

local function from(text)
  return decode(set(coming, text))
end

local function to(value)
  if type(value) ~= "table" then
    return nil
  end
  if not pcall(encode, reset(going), value) then
    free(going)
    encode(going, plain(value, 1))
  end
  local text = get(going)
  if #text > ROOM then
    free(going)
  end
  return text
end

-- Code, time in seconds, nanoseconds if the time was a table, record or records, metadata.
local function answer(code, time, record, metadata)
  if type(code) == "string" then
    code = tonumber(code) or code
  end
  if code == nil or code == 0 or code == -1 then
    return code
  end
  local nanos
  if type(time) == "table" then
    time, nanos = rawget(time, "sec"), rawget(time, "nsec")
    if type(nanos) ~= "number" then
      nanos = 0
    end
  end
  return code, time, nanos, to(record), to(metadata)
end

local function run(tag, time, nanos, record, metadata)
  if nanos then
    time = { sec = time, nsec = nanos }
  end
  if takes_metadata then
    local code, new_time, new_metadata, new_record =
      call(tag, time, {}, metadata and from(metadata) or {}, from(record))
    return answer(code, new_time, new_record, new_metadata)
  end
  local code, new_time, new_record = call(tag, time, from(record))
  return answer(code, new_time, new_record)
end

-- Gives back what a failure has left.
local function release()
  free(coming)
  free(going)
end

return run, release
