async def coupon(ctx, mail, draw, to):
    code = draw()
    if not await ctx.fence.write("coupon", code):
        code = await ctx.fence.read("coupon")
    await mail.send(to, code, key=ctx.execution)
