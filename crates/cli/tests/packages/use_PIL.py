import io

from PIL import (
    Image, ImageChops, ImageCms, ImageColor, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps, ImageSequence,
    ImageStat, features,
)


def handler(event, context):
    picture = Image.new("RGB", (80, 40), "navy")
    draw = ImageDraw.Draw(picture)
    draw.text((4, 4), "hello", font=ImageFont.load_default(), fill="white")
    draw.ellipse((40, 10, 60, 30), fill=(255, 0, 0))
    assert ImageStat.Stat(picture).mean[0] > 5
    for form in ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PDF", "ICO", "JPEG2000"]:
        file = io.BytesIO()
        picture.save(file, form)
        if form != "PDF":
            again = Image.open(io.BytesIO(file.getvalue()))
            again.load()
            assert again.size[0] > 0, form
    try:
        ImageFont.load_default(size=20).getbbox("x")
    except TypeError:  # Pillow before 10.1
        pass
    assert features.check("freetype2") and features.check("webp") and features.check("zlib") and features.check("jpg")
    assert picture.resize((20, 10), Image.LANCZOS).rotate(90, expand=True).size == (10, 20)
    assert picture.filter(ImageFilter.GaussianBlur(2)).convert("L").quantize(4).mode == "P"
    assert ImageOps.autocontrast(picture).size == ImageEnhance.Color(picture).enhance(0.5).size
    assert ImageChops.difference(picture, picture).getbbox() is None
    profile = ImageCms.createProfile("sRGB")
    assert ImageCms.profileToProfile(picture, profile, profile) and ImageColor.getrgb("#fff") == (255, 255, 255)
    assert len(list(ImageSequence.Iterator(picture))) == 1 and picture.getexif() is not None
