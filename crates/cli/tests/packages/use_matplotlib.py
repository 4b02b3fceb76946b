import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import cm, dates, font_manager, ticker


def handler(event, context):
    for style in ["default", "ggplot"]:
        with plt.style.context(style):
            figure, (left, right) = plt.subplots(1, 2)
            left.plot([1, 2, 3], [1, 4, 9], label="$x^2$ and $\\frac{a}{b}$")
            left.legend()
            left.set_title("Größe")
            right.imshow([[0, 1], [2, 3]], cmap="viridis")
            right.annotate("here", (0, 0), xytext=(1, 1), arrowprops={"arrowstyle": "->"})
            figure.colorbar(right.images[0], ax=right)
            figure.tight_layout()
            for form, start in [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("jpg", b"\xff\xd8")]:
                file = io.BytesIO()
                figure.savefig(file, format=form)
                assert file.getvalue().startswith(start), form
            text = io.StringIO()
            figure.savefig(text, format="ps")
            assert text.getvalue().startswith("%!PS")
            plt.close(figure)
    figure = plt.figure()
    axes = figure.add_subplot(111, projection="3d")
    axes.scatter([1, 2], [1, 2], [1, 2])
    figure.add_subplot(222, projection="polar").hist([1, 2, 2, 3])
    figure.canvas.draw()
    assert figure.canvas.get_width_height()[0] > 10
    axes = plt.figure().add_subplot()
    axes.boxplot([[1, 2, 3]])
    axes.contourf([[1, 2], [3, 4]])
    axes.xaxis.set_major_locator(ticker.MaxNLocator(3))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%Y"))
    plt.savefig(io.BytesIO())
    plt.close("all")
    assert font_manager.findfont("DejaVu Sans").endswith(".ttf") and cm.ScalarMappable
    assert font_manager.findfont("serif") and len(plt.style.available) > 5
