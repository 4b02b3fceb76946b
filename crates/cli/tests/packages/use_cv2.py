import cv2
import numpy as np


def handler(event, context):
    picture = np.zeros((64, 64, 3), np.uint8)
    cv2.circle(picture, (32, 32), 12, (0, 255, 0), -1)
    cv2.putText(picture, "hello", (2, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
    small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    for form in [".png", ".jpg", ".webp", ".tiff", ".bmp"]:
        done, written = cv2.imencode(form, small)
        assert done and cv2.imdecode(written, cv2.IMREAD_COLOR).shape == (32, 32, 3), form
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    contours = cv2.findContours(cv2.Canny(grey, 50, 150), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[-2]
    assert len(contours) >= 1 and cv2.GaussianBlur(grey, (5, 5), 0).shape == (64, 64)
    key_points, descriptors = cv2.ORB_create(50).detectAndCompute(cv2.resize(grey, (256, 256)), None)
    assert key_points is not None
    if hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has it in its extra modules.
        faces = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
        assert not faces.empty() and len(faces.detectMultiScale(grey)) == 0
    assert cv2.warpAffine(grey, np.float32([[1, 0, 3], [0, 1, 3]]), (64, 64)).any()
    assert cv2.dnn.blobFromImage(picture).shape == (1, 3, 64, 64) and "OpenCV" in cv2.getBuildInformation()
    capture = cv2.VideoCapture("/tmp/no-such.mp4")
    assert not capture.isOpened()
    writer = cv2.VideoWriter("/tmp/x.avi", cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 64))
    writer.write(picture)
    writer.release()
    assert cv2.VideoCapture("/tmp/x.avi").read()[0]
    try:
        cv2.resize(None, (1, 1))
        raise AssertionError("None is no picture")
    except cv2.error:
        pass
