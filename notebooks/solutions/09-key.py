async def notify(ctx, mail, people):
    for to in people:
        await mail.send(to, "your invoice", key=f"{ctx.execution} {to}")
