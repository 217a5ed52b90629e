class SessionsController < ApplicationController
  def create
    session[:user] = User.authenticate(params[:name], params[:password])&.id
    redirect_to(params[:next] || root_path, allow_other_host: true)
  end
end
