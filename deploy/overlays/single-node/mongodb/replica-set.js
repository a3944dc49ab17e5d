// Run by the startup probe until it ends with 0: makes the server a replica set of one, once, and waits for its primary.
// While the image still creates its users there is a server without replication: the probe just asks again.
try {
  db.getSiblingDB("admin").auth(process.env.MONGO_INITDB_ROOT_USERNAME, process.env.MONGO_INITDB_ROOT_PASSWORD);
  if (!db.hello().setName) {
    rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "mongodb-0.mongodb:27017" }] });
  }
  quit(db.hello().isWritablePrimary ? 0 : 1);
} catch (error) {
  print(error.message);
  quit(1);
}
