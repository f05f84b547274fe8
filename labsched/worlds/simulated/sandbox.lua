-- The world of a script as Redis 7 builds it, made once per interpreter and entered anew by each call. The chunk is given
-- the Python side and returns: compile(source), run(chunk, keys, argv, ...).
local py = ...
local error, type, select, unpack, pcall, xpcall, tostring, pairs, rawset = error, type, select, unpack, pcall, xpcall, tostring,
  pairs, rawset
local loadstring, setfenv, setmetatable, getinfo, find, sub = loadstring, setfenv, setmetatable, debug.getinfo, string.find, string.sub

local py_call = py.call

local function readonly() error('Attempt to modify a readonly table', 2) end

local function view(fields, missing) return setmetatable({}, {__index = missing or fields, __newindex = readonly, __metatable = false}) end

-- Where the script was, for the message that the client gets.
local function place(e)
  for level = 3, 8 do
    local info = getinfo(level, 'Sl')
    if not info then return e end
    if info.source == '@user_script' then
      e.source, e.line = 'user_script', info.currentline
      return e
    end
  end
  return e
end

local function on_error(e)
  if type(e) == 'userdata' then py.fault(e) end
  if type(e) == 'table' then return e.line and e or place(e) end
  return place({err = 'ERR ' .. tostring(e)})
end

-- What Python answers: 1 and a value, 2 and the items of a list, 3 and a status, 4 and an error's text. No Python exception passes
-- through Lua but a bug's.
local function value(kind, ...)
  if kind == 1 then return (...) end
  if kind == 2 then return {...} end
  if kind == 3 then return {ok = (...)} end
  return nil, (...)
end

-- Commands that Python answers without more ado; `true` says that it takes more.
local shortcuts, none = {}, {}
for op, f in pairs(py.values) do shortcuts[op] = f end
for op, f in pairs(py.lists) do
  shortcuts[op] = function(...)
    local reply = {f(...)}
    return reply[1] == true or reply
  end
end
for op, f in pairs(py.statuses) do
  shortcuts[op] = function(...) return f(...) or {ok = 'OK'} end
end
local short = none

local function call(op, ...)
  local quick = short[op]
  if quick then
    local reply = quick(...)
    if reply ~= true then return reply end
  end
  local reply, failed = value(py_call(op, ...))
  if failed == nil then return reply end
  error(place({err = failed}), 0)
end

local function try(op, ...)
  local quick = short[op]
  if quick then
    local reply = quick(...)
    if reply ~= true then return reply end
  end
  local reply, failed = value(py_call(op, ...))
  if failed == nil then return reply end
  return {err = failed}
end

local function checked(f)
  return function(...)
    local reply, failed = f(...)
    if failed == nil then return reply end
    error(failed, 0)
  end
end

local redis = {
  call = call, pcall = try, log = py.log, sha1hex = py.sha1hex, LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REDIS_VERSION = '7.2.0', REDIS_VERSION_NUM = 0x00070200,
  status_reply = function(text) return {ok = text} end,
  error_reply = function(text)
    if sub(text, 1, 1) == '-' then text = sub(text, 2) end
    return {err = find(text, ' ', 1, true) and text or 'ERR ' .. text}
  end,
  setresp = function(n) if n ~= 2 then error('this server speaks RESP2 only', 2) end end,
}
-- C's generator is one for the whole process; Redis starts its own anew for each script.
local maths = setmetatable({random = checked(py.random), randomseed = py.randomseed}, {__index = math})
local cjson = {encode = checked(py.encode), decode = checked(py.decode), null = py.null}

local world = {redis = view(redis), cjson = view(cjson), string = view(string), table = view(table), math = view(maths),
  os = view({clock = py.clock}), coroutine = view(coroutine)}
for _, name in pairs({'assert', 'error', 'getmetatable', 'ipairs', 'next', 'pairs', 'rawequal', 'rawget', 'rawset', 'select',
  'setmetatable', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall', 'collectgarbage', 'gcinfo', '_VERSION'}) do
  world[name] = _G[name]
end
function world.loadstring(...)
  local chunk, failed = loadstring(...)
  return chunk and setfenv(chunk, world), failed
end
-- As in Redis: what `redis.call` raised arrives as text.
local function caught(fine, e, ...)
  if not fine and type(e) == 'userdata' then py.fault(e) end
  if not fine and type(e) == 'table' and type(e.err) == 'string' then e = e.err end
  return fine, e, ...
end
function world.pcall(...) return caught(pcall(...)) end
setmetatable(world, {__newindex = readonly, __metatable = false, __index = function(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end})

local function compile(source)
  local chunk, failed = loadstring(source, '@user_script')
  return chunk and setfenv(chunk, world), failed
end

-- Most replies are flat lists, which go over at once instead of item by item.
local function flat(t)
  local n = #t
  if n > 4000 then return nil end
  for i = 1, n do
    local kind = type(t[i])
    if kind ~= 'string' and kind ~= 'number' then return nil end
  end
  return n
end

-- Returns 'one', value | 'list', items ... | 'table', table | 'error', text, line. What a script returns beyond its first value is lost,
-- as in Redis.
-- Without `argv`, `keys` is the one key and the arguments follow.
-- `plain`: shortcuts may be taken.
local function run(plain, chunk, keys, argv, ...)
  short = plain and shortcuts or none
  if not argv then keys, argv = {keys}, {...} end
  rawset(world, 'KEYS', keys)
  rawset(world, 'ARGV', argv)
  local fine, reply = xpcall(chunk, on_error)
  if not fine then return 'error', tostring(reply.err), reply.line end
  if type(reply) ~= 'table' then return 'one', reply end
  if reply.ok == nil and reply.err == nil and reply.double == nil and reply.map == nil then
    local n = flat(reply)
    if n then return 'list', unpack(reply, 1, n) end
  end
  return 'table', reply
end

return compile, run
