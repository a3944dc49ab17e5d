// Run once, by the image, into an empty database: the pipeline's own user, who may use its database and nothing else.
db.getSiblingDB("photo_pipeline").createUser({
  user: "photo",
  pwd: process.env.PHOTO_PIPELINE_PASSWORD,
  roles: [{ role: "readWrite", db: "photo_pipeline" }],
});
