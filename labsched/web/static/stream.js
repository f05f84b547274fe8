// The live stream, by fetch: EventSource could not send the token. It comes back by itself, with longer and longer waits.

export async function follow(token, take, say) {
  let wait = 500;
  for (;;) {
    try {
      const headers = token() ? { authorization: `Bearer ${token()}` } : {};
      const answer = await fetch("/api/stream", { headers, cache: "no-store" });
      if (answer.status === 401) { say("locked"); await sleep(2000); continue; }
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      say("live");
      wait = 500;
      await read(answer.body.getReader(), take);
    } catch (error) {
      console.debug("stream", error);
    }
    say("lost");
    await sleep(wait);
    wait = Math.min(wait * 2, 10000);
  }
}

async function read(reader, take) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) if (block.startsWith("data: ")) tell(take, block.slice(6));
  }
}

// A message that cannot be drawn is not a lost connection.
function tell(take, data) {
  try { take(JSON.parse(data)); } catch (error) { console.error(error); }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
